// BERT's WordPiece against ids of transformers (scripts/reference/image_reward.py), and damaged vocabularies.
#include "formats/json_text.h"
#include "support/catch.h"
#include "support/message.h"
#include "support/paths.h"
#include "support/scratch.h"
#include "tokenizer/wordpiece.h"

using namespace stamp;
using stamp::test::data_error;
using stamp::test::lacks;
using stamp::test::Scratch;
using stamp::test::spill;
using Ids = std::vector<std::int32_t>;

namespace {

const Json& golden() {
  static const Json json = parse_json(
      stamp::test::slurp(stamp::test::repository() / "tests" / "golden" / "wordpiece.json"), "wordpiece.json");
  return json;
}

// Ids 0 to 12.
constexpr const char* kSmall = "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nab\n##b\n##bc\nc\n,\n漢\ne\n##d\n";

std::unique_ptr<Tokenizer> tokenizer_of(const Scratch& scratch, const std::string& text,
                                        const std::vector<std::string>& more = {}) {
  spill(scratch.path() / "vocab.txt", text);
  return open_wordpiece(scratch.path() / "vocab.txt", more);
}

}  // namespace

TEST_CASE("WordPiece gives the ids of BertTokenizer", "[tokenizer]") {
  const Scratch scratch;
  std::string lines;
  for (const Json& token : golden().at("vocabulary")) lines.append(token.get<std::string>()).append("\n");
  const auto tokenizer = tokenizer_of(scratch, lines, {"[DEC]", "[ENC]"});
  CHECK(tokenizer->vocabulary() == static_cast<std::int64_t>(golden().at("vocabulary").size()) + 2);
  const Json& texts = golden().at("texts");
  CHECK(texts.size() > 100);
  int wrong = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const Json ours = tokenizer->encode(texts[i].get<std::string>(), true);
    if (ours != golden().at("ids").at(i) && ++wrong <= 8)
      UNSCOPED_INFO(texts[i] << ": ours " << ours << ", theirs " << golden().at("ids").at(i));
  }
  CHECK(wrong == 0);
  CHECK(tokenizer->kind() == "WordPiece (uncased)");
  CHECK(tokenizer->prepends_bos());
}

TEST_CASE("the longest entry at each place spells a word, or nothing does", "[tokenizer]") {
  const Scratch scratch;
  const auto tokenizer = tokenizer_of(scratch, kSmall);
  CHECK(tokenizer->encode("abc", false) == Ids{1});  // ab, then no ##c: a ##bc is not looked for
  CHECK(tokenizer->encode("AB abb ác", false) == Ids{5, 5, 6, 1});
  CHECK(tokenizer->encode("a,e漢ed", false) == Ids{4, 9, 11, 10, 11, 12});
  CHECK(tokenizer->encode(" \t\n", true) == Ids{2, 3});
  CHECK(tokenizer->encode("a\xFF\x01"
                          "b",
                          false) == Ids{5});  // ill-formed UTF-8 and control characters go
  CHECK(tokenizer->encode("[SEP]", true) == Ids{2, 3, 3});
  CHECK(tokenizer->encode("[SEP]", false) == Ids{1, 1, 1});  // "[", "sep" and "]", none of them an entry
  CHECK(tokenizer->encode(std::string(1, 'a').append(99, 'b'), false).size() == 99);  // ab, then 98 times ##b
  CHECK(tokenizer->encode(std::string(1, 'a').append(100, 'b'), false) == Ids{1});
  CHECK(tokenizer->decode({2, 5, 6, 9, 3}) == "[CLS] abb , [SEP]");
  CHECK(lacks(data_error([&] { tokenizer->decode({13}); }), "token id 13 is outside the vocabulary of 13") == "");
}

TEST_CASE("special tokens that the vocabulary lacks come behind it", "[tokenizer]") {
  const Scratch scratch;
  const auto tokenizer = tokenizer_of(scratch, kSmall, {"[DEC]", "[ENC]"});
  CHECK(tokenizer->vocabulary() == 15);
  CHECK(tokenizer->encode("a[ENC][DEC]", true) == Ids{2, 4, 14, 13, 3});
  const auto own = tokenizer_of(scratch, "[ENC]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\na", {"[DEC]", "[ENC]"});
  CHECK(own->vocabulary() == 6);
  CHECK(own->encode("a[ENC][DEC]", true) == Ids{2, 4, 0, 5, 3});
  CHECK(own->digest() != tokenizer->digest());
}

TEST_CASE("damaged vocabularies of WordPiece are refused by place", "[tokenizer]") {
  const Scratch scratch;
  const auto refusal = [&](const std::string& text) { return data_error([&] { tokenizer_of(scratch, text); }); };
  CHECK(lacks(refusal("[UNK]\n[CLS]\na\n"), "has no token [SEP] among its 3 lines") == "");
  CHECK(lacks(refusal("[UNK]\n\n[CLS]\n[SEP]\n"), "line 2 is empty") == "");
  CHECK(lacks(refusal("[UNK]\n[CLS]\n[SEP]\na\nb\na\n"), "line 6 holds \"a\", which is also in line 4") == "");
  CHECK(lacks(refusal("[UNK]\n[CLS]\n[SEP]\n\xC3\n"), "not UTF-8") == "");
  CHECK(lacks(data_error([&] { open_wordpiece(scratch.path() / "nothing.txt"); }), "nothing.txt") == "");
}
