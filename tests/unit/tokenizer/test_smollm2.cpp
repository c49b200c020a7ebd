// SmolLM2's tokenizer against ids from llama.cpp (scripts/reference/tokens.py writes the golden file).
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/sha256.h"
#include "data/text.h"
#include "formats/checkpoint.h"
#include "formats/json_text.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"
#include "tokenizer/tokenizer.h"
#include "unit/tokenizer/wikitext.h"

using namespace stamp;

namespace {

// Null, with a message, when the model is absent.
const Tokenizer* smollm2_tokenizer() {
  static const std::unique_ptr<Tokenizer> tokenizer = []() -> std::unique_ptr<Tokenizer> {
    const auto path = stamp::test::smollm2();
    return path.empty() ? nullptr : open_tokenizer(*open_checkpoint(path.string()));
  }();
  if (!tokenizer) WARN("skipped: SmolLM2 is absent (scripts/setup.sh installs it; $STAMP_SMOLLM2 names it)");
  return tokenizer.get();
}

std::vector<std::int32_t> ids_of(const Json& list) {
  return list.get<std::vector<std::int32_t>>();
}

std::string digest_of(const std::vector<std::int32_t>& ids) {
  return sha256_hex({reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(std::int32_t)});
}

const Json& golden() {
  static const Json json = [] {
    const auto path = stamp::test::repository() / "tests" / "golden" / "tokenizer_smollm2.json";
    return parse_json(stamp::test::slurp(path), path.string());
  }();
  return json;
}

}  // namespace

TEST_CASE("SmolLM2: published spot ids", "[tokenizer]") {
  const Tokenizer* tokenizer = smollm2_tokenizer();
  if (tokenizer == nullptr) return;
  using Ids = std::vector<std::int32_t>;
  CHECK(tokenizer->encode("Hello world! 123", true) == Ids{19556, 905, 17, 216, 33, 34, 35});
  CHECK(tokenizer->encode("The capital of France is", true) == Ids{504, 3575, 282, 4649, 314});
  CHECK(tokenizer->encode("\n", true) == Ids{198});
  CHECK(tokenizer->encode("Café déjà vu.", true) == Ids{51, 1939, 2756, 32564, 90, 16739, 386, 101, 30});
  CHECK(tokenizer->encode("  multiple   spaces", true) == Ids{216, 2701, 256, 5600});
  CHECK(tokenizer->encode("", true).empty());
  CHECK(tokenizer->vocabulary() == 49152);
  CHECK_FALSE(tokenizer->prepends_bos());
  CHECK(tokenizer->kind() == "byte-level BPE (smollm)");
  CHECK(tokenizer->digest().size() == 64);
}

TEST_CASE("SmolLM2: awkward strings give llama.cpp's ids", "[tokenizer]") {
  const Tokenizer* tokenizer = smollm2_tokenizer();
  if (tokenizer == nullptr) return;
  REQUIRE(golden().at("strings").size() >= 500);
  int wrong = 0;
  for (const Json& entry : golden().at("strings")) {
    const std::string text = entry.at("text");
    const bool same = tokenizer->encode(text, true) == ids_of(entry.at("special")) &&
                      tokenizer->encode(text, false) == ids_of(entry.value("plain", entry.at("special")));
    if (!same && ++wrong <= 5) UNSCOPED_INFO("differs on " << entry.at("text"));
  }
  CHECK(wrong == 0);
}

TEST_CASE("SmolLM2: all of WikiText-2 test gives llama.cpp's ids, fast", "[tokenizer]") {
  const Tokenizer* tokenizer = smollm2_tokenizer();
  if (tokenizer == nullptr) return;
  const std::optional<Text> found = stamp::test::wikitext_or_skip();
  if (!found) return;
  const Text& text = *found;
  REQUIRE(text.digest == "696cca6b65a171b0a358a4be6732cdfdf2dd6164a32e20fd70e3c13fc4dfae83");
  const auto begin = std::chrono::steady_clock::now();
  const auto ids = tokenizer->encode(text.content, true);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  CHECK(ids.size() == golden().at("wikitext2_test").at("count").get<std::size_t>());
  CHECK(digest_of(ids) == golden().at("wikitext2_test").at("sha256_of_int32_le").get<std::string>());
  CHECK(seconds.count() < 2.0);
  CHECK(tokenizer->decode(ids) == text.content);
  UNSCOPED_INFO(ids.size() << " ids in " << seconds.count() << " s");
}

TEST_CASE("SmolLM2: decoding gives the text back", "[tokenizer]") {
  const Tokenizer* tokenizer = smollm2_tokenizer();
  if (tokenizer == nullptr) return;
  int wrong = 0;
  for (const Json& entry : golden().at("strings")) {
    const std::string text = entry.at("text");
    if (tokenizer->decode(tokenizer->encode(text, true)) != text) ++wrong;
  }
  CHECK(wrong == 0);
  CHECK_THROWS_AS(tokenizer->decode({49152}), DataError);
  CHECK_THROWS_AS(tokenizer->decode({-1}), DataError);
}

// A figure, not a check: [.] keeps it out of the ordinary run.
TEST_CASE("seconds to tokenize WikiText-2 test", "[.speed]") {
  const Tokenizer* tokenizer = smollm2_tokenizer();
  REQUIRE(tokenizer != nullptr);
  const Text text = load_text("wikitext2-test", "");
  for (int repeat = 0; repeat < 3; ++repeat) {
    const auto begin = std::chrono::steady_clock::now();
    const std::size_t count = tokenizer->encode(text.content, true).size();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    WARN(count << " ids in " << seconds.count() << " s");
  }
}
