// Gemma 3's tokenizer from the real GGUF file: 301 strings that four references have answered, and all of WikiText-2
// test.
#include <algorithm>
#include <chrono>
#include <ctime>

#include "base/error.h"
#include "base/sha256.h"
#include "data/text.h"
#include "formats/checkpoint.h"
#include "formats/json_text.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"
#include "tokenizer/normalize.h"
#include "tokenizer/tokenizer.h"
#include "unit/tokenizer/wikitext.h"

using namespace stamp;
using Ids = std::vector<std::int32_t>;

namespace {

// Null, with a message, when the model is absent.
const Tokenizer* gemma_tokenizer() {
  static const std::unique_ptr<Tokenizer> tokenizer = []() -> std::unique_ptr<Tokenizer> {
    const auto path = stamp::test::gemma();
    return path.empty() ? nullptr : open_tokenizer(*open_checkpoint(path.string()));
  }();
  if (!tokenizer) WARN("skipped: Gemma 3 270M is absent (scripts/setup.sh installs it; $STAMP_GEMMA names it)");
  return tokenizer.get();
}

// Empty, with a message, when the fixture is absent.
Json golden_strings() {
  const auto path = stamp::test::fixture("gemma3_tokens_golden.json");
  if (!std::filesystem::exists(path)) {
    WARN("skipped: " << path << " is absent");
    return Json::array();
  }
  return parse_json(stamp::test::slurp(path), path.string());
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// Where the references themselves disagree (gemma3, section 4).
bool has_long_run_of_spaces(const std::string& text) {
  return has(text, std::string(32, ' '));
}
bool has_space_mark(const std::string& text) {
  return has(text, kSpaceMark);
}

}  // namespace

TEST_CASE("Gemma 3: spot ids", "[tokenizer]") {
  const Tokenizer* tokenizer = gemma_tokenizer();
  if (tokenizer == nullptr) return;
  CHECK(tokenizer->kind() == "SentencePiece BPE (scores, byte fallback)");
  CHECK(tokenizer->vocabulary() == 262144);
  CHECK(tokenizer->bos() == 2);
  CHECK(tokenizer->prepends_bos());
  CHECK(tokenizer->encode("Hello world", true) == Ids{2, 9259, 1902});
  CHECK(tokenizer->encode("1234", false) == Ids{236770, 236778, 236800, 236812});
  CHECK(tokenizer->encode("a  b", false) == Ids{236746, 138, 236763});
  CHECK(tokenizer->encode("\r\n", false) == Ids{251, 107});
  CHECK(tokenizer->encode("\u00a0", false) == Ids{432, 398});
  CHECK(tokenizer->encode("\tif", false) == Ids{255968, 584});
  CHECK(tokenizer->encode("café", false) == Ids{123125, 236859});
  CHECK(tokenizer->encode("你好，世界", false) == Ids{144626, 236900, 12811});
  CHECK(tokenizer->encode("<0x0A>", false) == Ids{236820, 236771, 236781, 236771, 236776, 236813});
  CHECK(tokenizer->encode(std::string(33, '\n'), false) == Ids{137, 108});  // 31 + 2
  CHECK(tokenizer->encode(std::string(32, ' '), false) == Ids{167, 236743});
  CHECK(tokenizer->encode("<start_of_turn>", true) == Ids{2, 105});
  CHECK(tokenizer->encode("<start_of_turn>", false).size() > 1);
  CHECK(tokenizer->decode({2, 236746, 138, 236763, 245, 255968}) == "<bos>a  b\x07\t");
  // Where a byte run is cut short.
  CHECK(tokenizer->decode({238 + 0xE2, 238 + 0x82, 236746}) == "\ufffd\ufffda");
}

// This program takes the steps of the specification, which are SentencePiece's. The others differ among themselves on
// 17 strings: transformers merges runs of 32 and more spaces pairwise (10 strings), llama.cpp cuts out user-defined
// tokens before spaces are spelled, which shows where the text itself has U+2581 (7 strings).
TEST_CASE("Gemma 3: 301 strings as SentencePiece has them; transformers and llama.cpp but for 17", "[tokenizer]") {
  const Tokenizer* tokenizer = gemma_tokenizer();
  const Json golden = golden_strings();
  if (tokenizer == nullptr || golden.empty()) return;
  REQUIRE(golden.size() == 301);
  int steps = 0, transformers = 0, llama = 0, llama_plain = 0, sentencepiece = 0, among_them = 0;
  for (const Json& entry : golden) {
    const std::string text = entry.at("text");
    INFO(entry.at("text"));
    const Json special = tokenizer->encode(text, true);
    Json plain = tokenizer->encode(text, false);
    plain.insert(plain.begin(), 2);  // the fixture has BOS everywhere
    steps += special != entry.at("steps_1_5_special");
    sentencepiece += plain != entry.at("sentencepiece");  // which never reads control tokens out of the text
    among_them += entry.at("transformers") != entry.at("llama_special");
    if (special != entry.at("transformers")) {
      ++transformers;
      CHECK(has_long_run_of_spaces(text));
    }
    if (special != entry.at("llama_special")) {
      ++llama;
      CHECK(has_space_mark(text));
    }
    if (plain != entry.at("llama_plain")) {
      ++llama_plain;
      CHECK((has_space_mark(text) || text == "</s>"));  // llama.cpp takes any "</s>" for a control token
    }
  }
  CHECK(steps == 0);
  CHECK(sentencepiece == 0);
  CHECK(transformers == 10);
  CHECK(llama == 7);
  CHECK(llama_plain == 8);
  CHECK(among_them == 17);
}

TEST_CASE("Gemma 3: decoding gives the text back", "[tokenizer]") {
  const Tokenizer* tokenizer = gemma_tokenizer();
  const Json golden = golden_strings();
  if (tokenizer == nullptr || golden.empty()) return;
  int wrong = 0;
  for (const Json& entry : golden) {
    const std::string text = entry.at("text");
    const std::string expected = replaced(text, kSpaceMark, " ");  // a mark is a space
    const std::string decoded = tokenizer->decode(tokenizer->encode(text, false));
    if (decoded != expected && ++wrong <= 5) UNSCOPED_INFO(entry.at("text") << " became " << Json(decoded));
  }
  CHECK(wrong == 0);
}

TEST_CASE("Gemma 3: all of WikiText-2 test, one word of 1.3 MB", "[tokenizer]") {
  const Tokenizer* tokenizer = gemma_tokenizer();
  if (tokenizer == nullptr) return;
  const std::optional<Text> found = stamp::test::wikitext_or_skip();
  if (!found) return;
  const Text& text = *found;
  const auto path = stamp::test::repository() / "tests" / "golden" / "tokenizer_gemma3.json";
  const Json golden = parse_json(stamp::test::slurp(path), path.string()).at("wikitext2_test");
  const Ids ids = tokenizer->encode(text.content, true);
  CHECK(ids.size() == 292283);
  CHECK(Ids(ids.begin(), ids.begin() + 16) ==
        Ids{2, 108, 578, 9877, 151936, 589, 578, 236743, 111, 9877, 151936, 589, 563, 614, 5422, 4103});
  CHECK(ids.size() == golden.at("count").get<std::size_t>());
  CHECK(sha256_hex({reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(std::int32_t)}) ==
        golden.at("sha256_of_int32_le").get<std::string>());
  CHECK(tokenizer->decode(ids) == "<bos>" + text.content);
}

TEST_CASE("Gemma 3: a long word costs n log n", "[tokenizer]") {
  const Tokenizer* tokenizer = gemma_tokenizer();
  if (tokenizer == nullptr) return;
  const auto seconds = [&](std::size_t size, const std::string& unit) {
    std::string text;
    while (text.size() < size) text += unit;
    double best = 1e9;
    for (int repeat = 0; repeat < 3; ++repeat) {
      const std::clock_t begin = std::clock();  // processor time: other programs do not count
      tokenizer->encode(text, false);
      best = std::min(best, static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
    }
    return best;
  };
  // A quadratic loop would take a hundred times as long, n log n about twelve times; caches are left the rest.
  for (const char* unit : {"the quick brown fox ", "a", "<", "\u6f22"})
    CHECK(seconds(100000, unit) < 40 * seconds(10000, unit));
}

// A figure, not a check: [.] keeps it out of the ordinary run.
TEST_CASE("seconds to tokenize WikiText-2 test with Gemma 3's tokenizer", "[.speed]") {
  const Tokenizer* tokenizer = gemma_tokenizer();
  REQUIRE(tokenizer != nullptr);
  const Text text = load_text("wikitext2-test", "");
  for (int repeat = 0; repeat < 3; ++repeat) {
    const auto begin = std::chrono::steady_clock::now();
    const std::size_t count = tokenizer->encode(text.content, true).size();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    WARN(count << " ids in " << seconds.count() << " s");
  }
}
