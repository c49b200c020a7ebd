// Tokenizers of image models' text encoders: SentencePiece unigram and CLIP's BPE, against ids of the libraries
// (scripts/reference/unigram.py), and damaged files.
#include <cmath>
#include <random>

#include "formats/json_text.h"
#include "support/catch.h"
#include "support/message.h"
#include "support/paths.h"
#include "support/scratch.h"
#include "tokenizer/folder.h"
#include "tokenizer/sentencepiece_file.h"
#include "tokenizer/unigram.h"

using namespace stamp;
using stamp::test::data_error;
using stamp::test::lacks;
using Ids = std::vector<std::int32_t>;

namespace {

std::filesystem::path golden_folder() {
  return stamp::test::repository() / "tests" / "golden" / "text_tokenizers";
}
const Json& golden() {
  static const Json json = parse_json(stamp::test::slurp(golden_folder() / "ids.json"), "ids.json");
  return json;
}

// The number of texts that come out differently, the first ones shown.
int differences(const Tokenizer& tokenizer, const Json& expected) {
  int wrong = 0;
  const Json& texts = golden().at("texts");
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const Json ours = tokenizer.encode(texts[i].get<std::string>(), true);
    if (ours != expected.at(i) && ++wrong <= 8)
      UNSCOPED_INFO(texts[i] << ": ours " << ours << ", theirs " << expected.at(i));
  }
  return wrong;
}

// A protocol buffer, written by hand.
std::string field(int number, const std::string& bytes) {
  std::string out(1, static_cast<char>(number * 8 + 2));
  for (std::size_t size = bytes.size();; size >>= 7) {
    out += static_cast<char>((size & 0x7F) | (size > 0x7F ? 0x80 : 0));
    if (size <= 0x7F) return out + bytes;
  }
}
std::string flag(int number, int value) {
  const int key = number * 8;
  std::string out;
  if (key > 0x7F) out += static_cast<char>((key & 0x7F) | 0x80), out += static_cast<char>(key >> 7);
  if (key <= 0x7F) out += static_cast<char>(key);
  return out + static_cast<char>(value);
}
std::string piece(const std::string& text, float score, int type = 1) {
  std::string out = field(1, text) + static_cast<char>(2 * 8 + 5);
  out.append(reinterpret_cast<const char*>(&score), sizeof(score));
  return field(1, out + flag(3, type));
}
std::string smallest() {
  return piece("<unk>", 0, 2) + piece("</s>", 0, 3) + piece("\u2581", -2) + piece("a", -1) + piece("b", -1.5F) +
         piece("ab", -2.4F) + piece("\u2581a", -2.5F);
}
std::unique_ptr<Tokenizer> tokenizer_of(const std::string& bytes, SentencePieceRules rules = {}) {
  return make_tokenizer(settings_from_sentencepiece(parse_sentencepiece(bytes, "m.model"), rules, "m.model"));
}
std::string refusal(const std::string& bytes) {
  return data_error([&] { tokenizer_of(bytes); });
}

}  // namespace

TEST_CASE("a SentencePiece unigram model gives SentencePiece's ids", "[tokenizer]") {
  const auto tokenizer = open_tokenizer_folder(golden_folder().string());
  CHECK(golden().at("texts").size() > 150);
  CHECK(differences(*tokenizer, golden().at("sentencepiece")) == 0);
  CHECK(tokenizer->kind() == "unigram (SentencePiece)");
  CHECK(tokenizer->bos() == -1);
  CHECK(!tokenizer->prepends_bos());
}

TEST_CASE("T5's tokenizer.json gives the library's ids", "[tokenizer]") {
  const auto tokenizer =
      make_tokenizer(settings_from_json(golden().at("t5_json"), TokenizerSource(), "tokenizer.json"));
  CHECK(differences(*tokenizer, golden().at("t5")) == 0);
  CHECK(tokenizer->kind() == "unigram (tokenizer.json)");
}

TEST_CASE("CLIP's tokenizer gives the library's ids and texts, from either kind of file", "[tokenizer]") {
  const auto tokenizer =
      make_tokenizer(settings_from_json(golden().at("clip_json"), TokenizerSource(), "tokenizer.json"));
  CHECK(differences(*tokenizer, golden().at("clip")) == 0);
  const Json& decoded = golden().at("clip_decoded");
  for (std::size_t i = 0; i < decoded.size(); ++i)
    CHECK(tokenizer->decode(golden().at("clip").at(i).get<Ids>()) == decoded[i].get<std::string>());

  const stamp::test::Scratch scratch;
  const Json& model = golden().at("clip_json").at("model");
  std::string merges = "#version: 0.2\n";
  for (const Json& merge : model.at("merges"))
    merges += merge.at(0).get<std::string>() + " " + merge.at(1).get<std::string>() + "\n";
  stamp::test::spill(scratch.path() / "vocab.json", model.at("vocab").dump());
  stamp::test::spill(scratch.path() / "merges.txt", merges);
  const auto from_files = open_tokenizer_folder(scratch.path().string());
  CHECK(differences(*from_files, golden().at("clip")) == 0);
  CHECK(from_files->prepends_bos());
}

TEST_CASE("the best cut is the one with the largest sum of scores", "[tokenizer]") {
  const auto tokenizer = tokenizer_of(smallest());
  // "▁ab": ▁a b -4, ▁ ab -4.4, ▁ a b -4.5. "ab" inside a word: one entry at -2.4 against -2.5 for two.
  CHECK(tokenizer->encode("ab", true) == Ids{6, 4, 1});
  CHECK(tokenizer->encode("bab", false) == Ids{2, 4, 5});
  // Unknown characters side by side are one token; spaces at the ends and repeated ones are none.
  CHECK(tokenizer->encode("  xy   a ", false) == Ids{2, 0, 6});
  CHECK(tokenizer->encode("", true) == Ids{1});
  CHECK(tokenizer->encode(" \t", false) == Ids{2, 0});  // no table: a tab is a character like any other
  CHECK(tokenizer->decode({6, 4, 2, 5, 1}) == "ab ab</s>");
  CHECK(tokenizer->vocabulary() == 107);
  CHECK(tokenizer->decode({7, 106}) == "<extra_id_99><extra_id_0>");
  CHECK(tokenizer_of(smallest(), {true, 0})->vocabulary() == 7);
}

TEST_CASE("unigram cuts agree with trying every cut", "[tokenizer]") {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    Unigram::Settings settings;
    settings.bytes.fill(-1);
    settings.unspelled.unknown = 99;
    settings.unknown_score = -20;
    StringMap<float> scores;
    for (int i = 0; i < 8; ++i) {
      std::string text;
      for (std::size_t k = 0; k <= random() % 3; ++k) text += static_cast<char>('a' + random() % 3);
      const float score = -static_cast<float>(random() % 1000) / 100;
      if (scores.emplace(text, score).second) settings.pieces.push_back({text, i, score});
    }
    std::string word;
    for (std::size_t k = 0; k < 1 + random() % 9; ++k) word += static_cast<char>('a' + random() % 3);
    double best = -1e30;
    Ids expected;
    for (unsigned cuts = 0; cuts < (1U << (word.size() - 1)); ++cuts) {
      Ids ids;
      double sum = 0;
      std::size_t begin = 0;
      for (std::size_t end = 1; end <= word.size(); ++end) {
        if (end < word.size() && ((cuts >> (end - 1)) & 1) == 0) continue;
        const std::string part = word.substr(begin, end - begin);
        const auto found = scores.find(part);
        if (found == scores.end() && part.size() > 1) sum = -1e30;
        sum += found == scores.end() ? -20 : static_cast<double>(found->second);
        for (const auto& p : settings.pieces)
          if (p.text == part) ids.push_back(p.id);
        if (found == scores.end()) ids.push_back(99);
        begin = end;
      }
      if (sum > best + 1e-9) best = sum, expected = ids;
    }
    const Unigram model(settings);
    Ids ours;
    model.encode(word, ours);
    double sum = 0;
    for (const std::int32_t id : ours) {
      sum += id == 99 ? -20 : 0;
      for (const auto& p : settings.pieces) sum += p.id == id ? static_cast<double>(p.score) : 0;
    }
    CHECK(std::abs(sum - best) < 1e-6);  // equal sums may be cut in more than one way
    CHECK(!expected.empty());
  }
}

TEST_CASE("flags of a SentencePiece file", "[tokenizer]") {
  const std::string kept = smallest() + field(3, flag(3, 0) + flag(4, 0));
  CHECK(tokenizer_of(kept)->encode("a  b ", false) == Ids{3, 2, 2, 4, 2});
  const std::string plain = smallest() + piece(" ", -3) + field(3, flag(5, 0));
  CHECK(tokenizer_of(plain)->encode("a b", false) == Ids{7, 3, 7, 4});
  std::string bytes = smallest();
  for (int b = 0; b < 256; ++b) bytes += piece(spelling_of_byte(b), 0, 6);
  bytes += field(2, flag(35, 1));
  CHECK(tokenizer_of(bytes)->encode("aé", false) == Ids{6, 7 + 0xC3, 7 + 0xA9});
  CHECK(tokenizer_of(bytes)->decode({6, 7 + 0xC3, 7 + 0xA9}) == "aé");
  const std::string chosen = smallest() + piece("ba", 0, 4);
  CHECK(tokenizer_of(chosen)->encode("abab", false) == Ids{6, 7, 4});
  const std::string unused = smallest() + piece("bb", 0, 5);
  CHECK(tokenizer_of(unused)->encode("abb", false) == Ids{6, 4, 4});
}

TEST_CASE("damaged SentencePiece files are refused with a reason", "[tokenizer]") {
  CHECK(lacks(refusal(""), "has no pieces") == "");
  CHECK(lacks(refusal("plain text, no model"), "m.model: is no SentencePiece model") == "");
  CHECK(lacks(refusal(smallest() + field(2, flag(3, 2))), "the model type is 2") == "");
  CHECK(lacks(refusal(smallest() + field(2, flag(24, 1))), "spaces behind words") == "");
  CHECK(lacks(refusal(smallest() + field(2, flag(35, 1))), "no piece <0x00>") == "");
  CHECK(lacks(refusal(smallest() + piece("a", 0)), "piece 7 (\"a\") has the text of piece 3") == "");
  CHECK(lacks(refusal(smallest() + piece("z", NAN)), "not a finite number") == "");
  CHECK(lacks(refusal(smallest() + piece("z", 0, 9)), "the type of piece 7 (\"z\") is 9") == "");
  CHECK(lacks(refusal(smallest() + piece("z", 0, 2)), "second unknown piece") == "");
  CHECK(lacks(refusal(smallest() + piece("z", 0, 6)), "not spelled <0xNN>") == "");
  CHECK(lacks(refusal(smallest() + piece("\xff", 0)), "is not UTF-8") == "");
  CHECK(lacks(refusal(smallest() + piece("", 0)), "has no text") == "");
  CHECK(lacks(refusal(piece("a", 0) + piece("</s>", 0, 3)), "no unknown piece") == "");
  CHECK(lacks(refusal(piece("<unk>", 0, 2)), "\"</s>\"") == "");
  CHECK(lacks(refusal(smallest() + field(3, field(2, "ab"))), "is cut short") == "");
  CHECK(lacks(refusal(smallest() + field(3, field(2, std::string("\x08\0\0\0abcd", 8)))), "8 bytes") == "");
  const stamp::test::Scratch scratch;
  CHECK(lacks(data_error([&] { open_tokenizer_folder(scratch.path().string()); }), "has no tokenizer") == "");
  stamp::test::spill(scratch.path() / "vocab.json", R"({"a": 0})");
  stamp::test::spill(scratch.path() / "merges.txt", "");
  CHECK(lacks(data_error([&] { open_tokenizer_folder(scratch.path().string()); }), "<|startoftext|>") == "");
}

TEST_CASE("a SentencePiece file cut short or changed anywhere gives a tokenizer or a DataError", "[tokenizer]") {
  const std::string whole = stamp::test::slurp(golden_folder() / "spiece.model");
  const auto attempt = [](const std::string& bytes) {
    try {
      const auto tokenizer = tokenizer_of(bytes);
      tokenizer->decode(tokenizer->encode("a small Ａcat ①②③ é\u3000½", true));
    } catch (const DataError&) {
    }
  };
  for (std::size_t size = 0; size < whole.size(); size += 3) attempt(whole.substr(0, size));
  std::mt19937 random(3);
  for (int round = 0; round < 3000; ++round) {
    std::string changed = whole;
    for (int k = 0; k < 3; ++k) changed[random() % changed.size()] = static_cast<char>(random());
    attempt(changed);
  }
  SUCCEED();
}
