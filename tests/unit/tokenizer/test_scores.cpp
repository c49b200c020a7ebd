// SentencePiece models in GGUF metadata: against SentencePiece and llama.cpp (scripts/reference/scores.py), against the
// definition, and with damaged metadata.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/error.h"
#include "base/seed.h"
#include "formats/json_text.h"
#include "support/catch.h"
#include "support/message.h"
#include "support/paths.h"
#include "support/scratch.h"
#include "tokenizer/character_bpe.h"
#include "tokenizer/settings.h"

using namespace stamp;
using stamp::test::data_error;
using stamp::test::lacks;
using Ids = std::vector<std::int32_t>;

namespace {

std::unique_ptr<Tokenizer> tokenizer_of(TokenizerSource source) {
  return make_tokenizer(settings_from_gguf(std::move(source), "model.gguf"));
}

const Json& golden() {
  static const Json json = [] {
    const auto path = stamp::test::repository() / "tests" / "golden" / "tokenizer_scores.json";
    return parse_json(stamp::test::slurp(path), path.string());
  }();
  return json;
}

TokenizerSource source_of(const Json& model) {
  TokenizerSource source;
  source.present = true;
  source.model = std::string("llama");
  source.pre = std::string("default");
  source.tokens = model.at("tokens").get<std::vector<std::string>>();
  source.scores = model.at("scores").get<std::vector<float>>();
  source.types = model.at("types").get<std::vector<std::int32_t>>();
  source.bos = model.at("bos");
  source.eos = model.at("eos");
  source.unknown = model.at("unknown");
  source.add_bos = true;
  source.add_space_prefix = model.at("add_space_prefix");
  return source;
}

// The definition: while two neighbours together are an entry, join those of the highest score, the leftmost of equals.
std::vector<std::string> merged_by_definition(const std::string& word, const std::vector<ScoredBpe::Scored>& entries) {
  std::vector<std::string> parts;
  for (const char c : word) parts.emplace_back(1, c);
  while (true) {
    const ScoredBpe::Scored* best = nullptr;
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i)
      for (const ScoredBpe::Scored& entry : entries)
        if (entry.text == parts[i] + parts[i + 1] && (best == nullptr || entry.score > best->score)) {
          best = &entry;
          at = i;
        }
    if (best == nullptr) return parts;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

// <unk> 0, <s> 1, </s> 2, the bytes 3..258, then "a", "b", "ab", "▁", "▁a", and user-defined "[X]" and two spaces.
TokenizerSource small_source() {
  TokenizerSource source;
  source.present = true;
  source.model = std::string("llama");
  const auto add = [&](const std::string& text, float score, std::int32_t type) {
    source.tokens.push_back(text);
    source.scores.push_back(score);
    source.types.push_back(type);
  };
  add("<unk>", 0, kUnknown);
  add("<s>", 0, kControl);
  add("</s>", 0, kControl);
  for (int b = 0; b < 256; ++b) add(spelling_of_byte(b), 0, kByte);
  add("a", -3, kNormal);
  add("b", -4, kNormal);
  add("ab", -1, kNormal);
  add("\u2581", -5, kNormal);
  add("\u2581a", -2, kNormal);
  add("[X]", 0, kUserDefined);
  add("  ", 0, kUserDefined);
  source.bos = 1;
  source.eos = 2;
  source.unknown = 0;
  source.add_bos = true;
  return source;
}
enum : std::int32_t { A = 259, B = 260, AB = 261, Mark = 262, MarkA = 263, X = 264, Two = 265 };

std::string refusal(const std::function<void(TokenizerSource&)>& change) {
  TokenizerSource source = small_source();
  change(source);
  return data_error([&] { tokenizer_of(source); });
}

}  // namespace

TEST_CASE("models trained with SentencePiece give its ids and texts, and llama.cpp's", "[tokenizer]") {
  CHECK(golden().at("models").size() == 4);
  int by_llama = 0;
  for (const Json& model : golden().at("models")) {
    INFO(model.at("name"));
    const auto tokenizer = tokenizer_of(source_of(model));
    int wrong = 0;
    const auto compare = [&](const char* key, const Json& entry, const Json& ours, const Json& theirs) {
      if (ours != theirs && ++wrong <= 8)
        UNSCOPED_INFO(key << " " << entry << ": ours " << ours << ", theirs " << theirs);
    };
    for (const Json& entry : model.at("cases")) {
      const std::string text = entry.at("text");
      compare("SentencePiece", entry.at("text"), tokenizer->encode(text, false), entry.at("sentencepiece"));
      if (!entry.contains("llama_plain") || text.find(kSpaceMark) != std::string::npos) continue;
      ++by_llama;
      compare("llama.cpp", entry.at("text"), tokenizer->encode(text, false), entry.at("llama_plain"));
      compare("llama.cpp special", entry.at("text"), tokenizer->encode(text, true), entry.at("llama_special"));
    }
    for (const Json& entry : model.at("decoded"))
      compare("decoding", entry.at("ids"), tokenizer->decode(entry.at("ids").get<Ids>()), entry.at("text"));
    CHECK(wrong == 0);
  }
  CHECK(by_llama >= 500);
}

TEST_CASE("merging by score with the heap equals merging by definition", "[tokenizer]") {
  RandomStream random(12, "scored bpe test");
  for (int round = 0; round < 40; ++round) {
    std::set<std::string> texts;
    if (round % 2 == 0) texts = {"a", "b"};  // "c" is no entry: it merges all the same where a longer entry has it
    for (int i = 0; i < 30; ++i) {
      std::string text;
      for (std::uint64_t n = 2 + random.below(5); n > 0; --n) text += static_cast<char>('a' + random.below(3));
      texts.insert(text);
    }
    ScoredBpe::Settings settings;
    settings.bytes.fill(-1);
    for (int b = 'a'; b <= 'c'; ++b) settings.bytes[static_cast<std::size_t>(b)] = 1000 + b;
    for (const std::string& text : texts) {
      ScoredBpe::Scored entry;
      entry.text = text;
      entry.id = static_cast<std::int32_t>(settings.entries.size());
      entry.score = -static_cast<float>(random.below(12));  // equal ones are common
      settings.entries.push_back(entry);
    }
    const std::vector<ScoredBpe::Scored> entries = settings.entries;
    const ScoredBpe bpe(std::move(settings));
    for (int trial = 0; trial < 50; ++trial) {
      std::string word;
      for (std::uint64_t n = random.below(40); n > 0; --n) word += static_cast<char>('a' + random.below(3));
      Ids ids;
      bpe.encode(word, ids);
      std::vector<std::string> parts;
      for (const std::int32_t id : ids)
        parts.push_back(id >= 1000 ? std::string(1, static_cast<char>(id - 1000))
                                   : entries[static_cast<std::size_t>(id)].text);
      REQUIRE(parts == merged_by_definition(word, entries));
    }
  }
}

TEST_CASE("spaces, prefixes, marks of the text, bytes", "[tokenizer]") {
  const auto tokenizer = tokenizer_of(small_source());
  CHECK(tokenizer->kind() == "SentencePiece BPE (scores, byte fallback)");
  CHECK(tokenizer->prepends_bos());
  CHECK(tokenizer->encode("", true) == Ids{1});
  CHECK(tokenizer->encode("", false).empty());
  CHECK(tokenizer->encode("ab", true) == Ids{1, Mark, AB});  // "ab" scores higher than "▁a"
  CHECK(tokenizer->encode("aab", false) == Ids{MarkA, AB});
  // Every piece between special tokens gets a prefix, as in llama.cpp.
  CHECK(tokenizer->encode("a</s>a", true) == Ids{1, MarkA, 2, MarkA});
  CHECK(tokenizer->encode("a[X]b", false) == Ids{MarkA, X, Mark, B});
  // The runs of spaces of the vocabulary are cut out of the spelled text.
  CHECK(tokenizer->encode("a  b", false) == Ids{MarkA, Two, Mark, B});
  CHECK(tokenizer->encode("a\u2581 b", false) == Ids{MarkA, Two, Mark, B});
  CHECK(tokenizer->encode("é", false) == Ids{Mark, 3 + 0xC3, 3 + 0xA9});
  CHECK(tokenizer->encode("\xff", false) == Ids{Mark, 3 + 0xEF, 3 + 0xBF, 3 + 0xBD});  // U+FFFD
  CHECK(tokenizer->decode({MarkA, Two, Mark, B}) == "a   b");
  CHECK(tokenizer->decode({1, MarkA}) == "<s> a");
  CHECK(tokenizer->decode({A, 3 + 0xC3, 3 + 0xA9, 3 + 0xC3, B}) == "aé\ufffdb");
  CHECK_THROWS_AS(tokenizer->decode({266}), DataError);
  CHECK_THROWS_AS(tokenizer->decode({-1}), DataError);
  TokenizerSource source = small_source();
  source.add_space_prefix = false;
  source.add_bos = false;
  source.add_eos = true;
  const auto other = tokenizer_of(source);
  CHECK(other->encode(" ab", true) == Ids{Mark, AB, 2});
  CHECK(other->decode({Mark, AB}) == " ab");
  CHECK(other->digest() != tokenizer->digest());
}

TEST_CASE("damaged or incomplete SentencePiece metadata is refused by name", "[tokenizer]") {
  CHECK(lacks(refusal([](auto& s) { s.scores.clear(); }), "has 0 scores for 266 tokens") == "");
  CHECK(lacks(refusal([](auto& s) { s.types.pop_back(); }), "has 265 token types for 266 tokens") == "");
  CHECK(lacks(refusal([](auto& s) { s.tokens.clear(), s.scores.clear(), s.types.clear(); }), "is empty") == "");
  CHECK(lacks(refusal([](auto& s) { s.tokens[B] = std::string("a"); }), "\"a\" twice, with the ids 259 and 260") == "");
  CHECK(lacks(refusal([](auto& s) { s.types[AB] = 9; }), "token 261 (\"ab\") is not one of 1 (normal)") == "");
  CHECK(lacks(refusal([](auto& s) { s.types[AB] = -1; }), "token 261") == "");
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()})
    CHECK(lacks(refusal([&](auto& s) { s.scores[AB] = bad; }), "score of token 261 (\"ab\") is not a finite") == "");
  CHECK(refusal([](auto& s) { s.scores[1] = std::nanf(""); }) == "(no DataError)");  // a control token's is not read
  CHECK(lacks(refusal([](auto& s) { s.tokens[AB] = std::string("a\xff"); }),
              "token 261 (\"a\xef\xbf\xbd\") is not UTF-8") == "");
  for (const char* spelling : {"<0x4>", "<0xGG>", "<0x0a>", "x"})
    CHECK(lacks(refusal([&](auto& s) { s.tokens[3 + 10] = spelling; }), "not spelled <0xNN>") == "");
  CHECK(lacks(refusal([](auto& s) { s.bos = -1; }), "tokenizer.ggml.bos_token_id is missing") == "");
  CHECK(lacks(refusal([](auto& s) {
                s.add_eos = true;
                s.eos = -1;
              }),
              "tokenizer.ggml.eos_token_id is missing") == "");
  CHECK(lacks(refusal([](auto& s) { s.model = std::string("lama"); }), "did you mean \"llama\"") == "");
}

TEST_CASE("a vocabulary has every byte that text can need, or none and an unknown token", "[tokenizer]") {
  const auto lose = [](TokenizerSource& s, int byte) {
    s.tokens[static_cast<std::size_t>(3 + byte)] = "word" + std::to_string(byte);
    s.types[static_cast<std::size_t>(3 + byte)] = kNormal;
  };
  CHECK(lacks(refusal([&](auto& s) { lose(s, 0x0A); }), "no token for the byte <0x0A>; a vocabulary has") == "");
  CHECK(lacks(refusal([&](auto& s) { lose(s, 0xE2), lose(s, 0x80); }), "byte <0x80> and 1 others") == "");
  for (const int never : {0xC0, 0xC1, 0xF5, 0xFF})  // in UTF-8
    CHECK(refusal([&](auto& s) { lose(s, never); }) == "(no DataError)");
  CHECK(refusal([&](auto& s) { lose(s, 'a'); }) == "(no DataError)");  // "a" is a token

  const auto without_bytes = [&](TokenizerSource& s) {
    for (int b = 0; b < 256; ++b) lose(s, b);
  };
  TokenizerSource source = small_source();
  without_bytes(source);
  const auto tokenizer = tokenizer_of(source);
  CHECK(tokenizer->kind() == "SentencePiece BPE (scores)");
  CHECK(tokenizer->encode("éabé漢", false) == Ids{Mark, 0, AB, 0});  // neighbours become one
  CHECK(lacks(refusal([&](auto& s) {
                without_bytes(s);
                s.unknown = -1;
                s.types[0] = kControl;
              }),
              "neither byte tokens nor an unknown token") == "");
}

TEST_CASE("metadata damaged at random: a tokenizer that works or a DataError", "[tokenizer]") {
  RandomStream random(5, "damaged scores");
  int refused = 0, opened = 0;
  for (int round = 0; round < 300; ++round) {
    TokenizerSource source = small_source();
    for (std::uint64_t n = 1 + random.below(3); n > 0; --n) {
      const auto id = static_cast<std::size_t>(random.below(source.tokens.size()));
      const auto other = static_cast<std::size_t>(random.below(source.tokens.size()));
      switch (random.below(7)) {
        case 0: source.types[id] = static_cast<std::int32_t>(random.below(9)) - 1; break;
        case 1: source.scores[id] = std::ldexp(1.0F, static_cast<int>(random.below(300)) - 100); break;
        case 2: source.tokens[id] = source.tokens[other] + source.tokens[id]; break;
        case 3: source.tokens[id].clear(); break;
        case 4: std::swap(source.types[id], source.types[other]); break;
        case 5: source.tokens[id] += static_cast<char>(random.below(256)); break;
        default: source.types[id] = kUnused; break;
      }
    }
    try {
      const auto tokenizer = tokenizer_of(source);
      for (const char* text : {"", "ab  a[X]b é\n", "aab漢</s>\xff"})
        for (const bool special : {false, true}) {
          const Ids ids = tokenizer->encode(text, special);
          for (const std::int32_t id : ids) REQUIRE((id >= 0 && id < tokenizer->vocabulary()));
          tokenizer->decode(ids);
        }
      ++opened;
    } catch (const DataError&) {
      ++refused;
    }
  }
  CHECK(opened > 30);
  CHECK(refused > 30);
}
