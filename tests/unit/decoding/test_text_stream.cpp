// Text that appears token by token is the text, and never holds half a character.
#include "decoding/text_stream.h"
#include "formats/utf8.h"
#include "support/catch.h"

using namespace stamp;

namespace {

// One token a byte, so that every character beyond ASCII is cut into pieces.
class Bytes : public Tokenizer {
 public:
  std::vector<std::int32_t> encode(std::string_view text, bool) const override {
    std::vector<std::int32_t> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string decode(const std::vector<std::int32_t>& ids) const override {
    std::string bytes;
    for (const std::int32_t id : ids) bytes += static_cast<char>(id);
    return repaired_utf8(bytes);
  }
  std::int64_t vocabulary() const override { return 256; }
  std::int64_t bos() const override { return -1; }
  bool prepends_bos() const override { return false; }
  std::string kind() const override { return "bytes"; }
  std::string digest() const override { return ""; }
};

// A token begins with a space, which the first one of a text loses, as SentencePiece spells.
class Words : public Bytes {
 public:
  std::string decode(const std::vector<std::int32_t>& ids) const override {
    std::string text;
    for (const std::int32_t id : ids) text += " w" + std::to_string(id);
    return text.empty() ? text : text.substr(1);
  }
};

std::string streamed(const Tokenizer& tokenizer, const std::string& before, const std::vector<std::int32_t>& ids) {
  TextStream stream(tokenizer, tokenizer.encode(before, false));
  std::string text;
  for (const std::int32_t id : ids) {
    const std::string part = stream.push(id);
    CHECK(is_utf8(part));
    CHECK(part.find("\xEF\xBF\xBD") == std::string::npos);
    text += part;
  }
  return text + stream.finish();
}

}  // namespace

TEST_CASE("characters of two, three and four bytes come whole") {
  const Bytes bytes;
  const std::string text = "na\xC3\xAFve \xE6\xBC\xA2\xE5\xAD\x97 \xF0\x9F\x98\x80\xF0\x9F\x91\xA9\xE2\x80\x8D end";
  CHECK(streamed(bytes, "", bytes.encode(text, false)) == text);
  CHECK(streamed(bytes, "prompt \xC3\xA9", bytes.encode(text, false)) == text);
  std::string longer;
  for (int i = 0; i < 20; ++i) longer += text;
  CHECK(streamed(bytes, "p", bytes.encode(longer, false)) == longer);
}

TEST_CASE("a character that never became whole comes out at the end, as U+FFFD") {
  const Bytes bytes;
  TextStream stream(bytes, {});
  CHECK(stream.push('a') == "a");
  CHECK(stream.push(0xF0).empty());
  CHECK(stream.push(0x9F).empty());
  CHECK(stream.finish() == "\xEF\xBF\xBD");
  // Bytes that turn out to be nothing are given once something else follows.
  TextStream second(bytes, {});
  CHECK(second.push(0xF0).empty());
  CHECK(second.push('b') ==
        "\xEF\xBF\xBD"
        "b");
}

TEST_CASE("the spelling of a token beside its neighbour is kept") {
  const Words words;
  std::vector<std::int32_t> ids;
  std::string expected;
  for (std::int32_t i = 0; i < 100; ++i) {
    ids.push_back(i);
    expected += " w" + std::to_string(i);
  }
  CHECK(streamed(words, "x", ids) == expected);  // behind a prompt every word has its space
  CHECK(streamed(words, "", ids) == expected.substr(1));
}
