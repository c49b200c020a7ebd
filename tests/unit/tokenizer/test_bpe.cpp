#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "base/error.h"
#include "base/seed.h"
#include "formats/utf8.h"
#include "support/catch.h"
#include "support/message.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/pattern.h"
#include "tokenizer/settings.h"
#include "tokenizer/split.h"

using namespace stamp;
using stamp::test::data_error;
using stamp::test::lacks;

namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

// The definition: while any adjacent pair is ranked, join the best-ranked one, the leftmost of equals.
std::vector<std::string> merged_by_definition(const std::string& word, const Pairs& merges) {
  std::vector<std::string> parts;
  for (const char c : word) parts.emplace_back(1, c);
  while (true) {
    std::size_t best = merges.size(), at = 0;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto rank = static_cast<std::size_t>(
          std::find(merges.begin(), merges.end(), std::pair(parts[i], parts[i + 1])) - merges.begin());
      if (rank < best) {
        best = rank;
        at = i;
      }
    }
    if (best == merges.size()) return parts;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

std::vector<std::string> words_of(const std::string& expression, const std::string& text) {
  const Pattern pattern(expression);
  Pattern::Search search(pattern);
  std::vector<std::string> words;
  Match match;
  for (std::size_t at = 0; at < text.size() && search.next(text, at, match); at = match.end)
    words.push_back(text.substr(match.begin, match.end - match.begin));
  return words;
}

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("merging with the heap equals merging by definition", "[tokenizer]") {
  RandomStream random(11, "bpe test");
  for (int round = 0; round < 40; ++round) {
    // A random vocabulary over few letters, so that candidates overlap and go stale often.
    std::vector<std::string> pool = {"a", "b", "c"};
    std::set<std::pair<std::string, std::string>> seen;
    Pairs merges;
    for (int i = 0; i < 30; ++i) {
      const std::pair pair(pool[random.below(pool.size())], pool[random.below(pool.size())]);
      if (pair.first.size() + pair.second.size() > 8 || !seen.insert(pair).second) continue;
      merges.push_back(pair);
      pool.push_back(pair.first + pair.second);
    }
    std::sort(pool.begin(), pool.end());
    pool.erase(std::unique(pool.begin(), pool.end()), pool.end());
    const std::vector<std::optional<std::string>> pieces(pool.begin(), pool.end());
    const Bpe bpe(pieces, merges, false);
    for (int trial = 0; trial < 50; ++trial) {
      std::string word;
      for (std::uint64_t n = random.below(40); n > 0; --n) word += static_cast<char>('a' + random.below(3));
      std::vector<std::int32_t> ids;
      bpe.encode(word, ids);
      std::vector<std::string> parts;
      for (const std::int32_t id : ids) parts.push_back(pool[static_cast<std::size_t>(id)]);
      REQUIRE(parts == merged_by_definition(word, merges));
    }
  }
}

TEST_CASE("whole words and merges whose result is no entry", "[tokenizer]") {
  const std::vector<std::optional<std::string>> pieces = {"a", "b", "abba", "ab"};
  std::vector<std::int32_t> ids;
  Bpe(pieces, {{"a", "b"}}, true).encode("abba", ids);
  CHECK(ids == std::vector<std::int32_t>{2});
  ids.clear();
  Bpe(pieces, {{"a", "b"}}, false).encode("abba", ids);
  CHECK(ids == std::vector<std::int32_t>{3, 1, 0});
  ids.clear();
  Bpe(pieces, {{"b", "a"}}, false).encode("aba", ids);  // "ba" falls apart again
  CHECK(ids == std::vector<std::int32_t>{0, 1, 0});
}

TEST_CASE("a byte without an entry is named, or becomes the unknown token", "[tokenizer]") {
  const std::vector<std::optional<std::string>> pieces = {"a", "b", "\xc3", "?"};
  std::vector<std::int32_t> ids;
  const std::string message = data_error([&] { Bpe(pieces, {}, false, {-1, false, "m.gguf"}).encode("aéb", ids); });
  CHECK(lacks(message, "m.gguf: the tokenizer cannot spell this text") == "");
  CHECK(lacks(message, "no token for byte 0xA9 of U+00E9 \"é\"") == "");
  ids.clear();
  Bpe(pieces, {}, false, {3, false, ""}).encode("a\x01\x02é", ids);
  CHECK(ids == std::vector<std::int32_t>{0, 3, 3, 2, 3});
  ids.clear();
  Bpe(pieces, {}, false, {3, true, ""}).encode("a\x01\x02é", ids);
  CHECK(ids == std::vector<std::int32_t>{0, 3, 2, 3});
}

TEST_CASE("what becomes of a match when text is split", "[tokenizer]") {
  using Keep = SplitStep::Keep;
  const auto parts = [](const std::string& text, Keep keep, bool invert) {
    const SplitStep step{Pattern("e"), keep, invert};
    Pattern::Search search(step.pattern);
    std::vector<std::string_view> out;
    split(text, step, search, out);
    return Words(out.begin(), out.end());
  };
  CHECK(parts("xeye", Keep::isolated, false) == Words{"x", "e", "y", "e"});
  CHECK(parts("exeeye", Keep::removed, false) == Words{"x", "y"});
  CHECK(parts("exeeye", Keep::removed, true) == Words{"e", "e", "e", "e"});
  // Only one of several matches in a row goes with its neighbour, as in the tokenizers library.
  CHECK(parts("exeeye", Keep::with_previous, false) == Words{"e", "xe", "e", "ye"});
  CHECK(parts("exeeye", Keep::with_next, false) == Words{"ex", "e", "ey", "e"});
  CHECK(parts("exy", Keep::with_next, true) == Words{"e", "xy"});
  CHECK(parts("xye", Keep::with_next, true) == Words{"xye"});
}

TEST_CASE("bytes and their spellings", "[tokenizer]") {
  std::string all;
  for (int b = 0; b < 256; ++b) all += static_cast<char>(b);
  const std::string spelled = spelling_of_bytes(all);
  CHECK(is_utf8(spelled));
  CHECK(bytes_of_spelling(spelled) == all);
  CHECK(spelling_of_bytes(" \n\t!") == "ĠĊĉ!");
  CHECK_FALSE(bytes_of_spelling("a b").has_value());
  CHECK_FALSE(bytes_of_spelling("漢").has_value());
}

TEST_CASE("the three patterns split as written in models 4.4", "[tokenizer]") {
  CHECK(words_of(pattern_c(), "it's IT'S  12345 a!?\n\n b ") ==
        Words{"it", "'s", " IT", "'", "S", " ", " 12345", " a", "!?", "\n\n", " b", " "});
  CHECK(words_of(pattern_a(), "it's IT'S 12345!?\r\n\n  b ") ==
        Words{"it", "'s", " IT", "'S", " ", "123", "45", "!?\r\n\n", " ", " b", " "});
  CHECK(words_of(pattern_b(), "x12 \n y") == Words{"x", "1", "2", " \n", " y"});
  // U+180E is white space to PCRE2's \s and to nobody else here; combining marks are neither letters nor numbers.
  CHECK(words_of(pattern_c(), "a\u180eb") == Words{"a", "\u180e", "b"});
  CHECK(words_of(pattern_c(), "e\u0301a") == Words{"e", "\u0301", "a"});
  CHECK(words_of(pattern_c(), "a\u3000\u3000b") == Words{"a", "\u3000", "\u3000", "b"});
}

TEST_CASE("white space is written out inside and outside of classes", "[tokenizer]") {
  CHECK(with_white_space(R"(\\s[^\s])").find(R"(\\s[^\x{9}-)") == 0);
  CHECK(with_white_space(R"(\S)").find("[^") == 0);
  CHECK(with_white_space(R"([\]\s])").find(R"([\]\x{9})") == 0);
  CHECK_THROWS_AS(Pattern("("), DataError);
}

TEST_CASE("megabytes of one character take no more than linear stack and time", "[tokenizer]") {
  for (const std::string& expression : {pattern_a(), pattern_b(), pattern_c()}) {
    for (const char* unit : {" ", "\n", "a", "!", "é", "7"}) {
      std::string text;
      while (text.size() < 1000000) text += unit;
      std::size_t covered = 0;
      for (const std::string& word : words_of(expression, text + "x")) covered += word.size();
      CHECK(covered == text.size() + 1);
    }
  }
}

TEST_CASE("added tokens: longest first, special ones only when asked for", "[tokenizer]") {
  const auto token = [](const char* text, int id, bool special) {
    AddedToken t;
    t.text = text;
    t.id = id;
    t.special = special;
    return t;
  };
  const AddedTokens added({token("<a>", 1, true), token("<a><b>", 2, true), token("  ", 3, false), token("", 4, true)});
  const auto ids = [&](std::string_view text, bool special) {
    std::vector<std::int32_t> list;
    for (const Cut& cut : added.cut(text, special)) list.push_back(cut.id);
    return list;
  };
  CHECK(ids("<a><b><a>", true) == std::vector<std::int32_t>{2, 1});
  CHECK(ids("x<a>y", true) == std::vector<std::int32_t>{-1, 1, -1});
  CHECK(ids("x<a>  y", false) == std::vector<std::int32_t>{-1, 3, -1});
  CHECK(ids("<a", true) == std::vector<std::int32_t>{-1});
  CHECK(ids("", true).empty());
  // Two tokens of one text: the special one gives way where special ones are not wanted.
  const AddedTokens twice({token("<a>", 1, true), token("<a>", 2, false)});
  CHECK(twice.cut("<a>", true).front().id == 1);
  CHECK(twice.cut("<a>", false).front().id == 2);
}
