#include "tokenizer/word_model.h"

#include <cctype>
#include <cstdio>

#include "base/error.h"
#include "formats/utf8.h"

namespace stamp {
namespace {

std::string formatted(const char* format, unsigned value) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

std::string spelling_of_byte(int byte) {
  return formatted("<0x%02X>", static_cast<unsigned>(byte));
}

int byte_of_spelling(std::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return -1;
  const int high = digit_of(text[3]), low = digit_of(text[4]);
  return high < 0 || low < 0 ? -1 : 16 * high + low;
}

std::string byte_in_words(unsigned char byte, std::string_view character) {
  const CodePoint c = decode_utf8(character, 0);
  std::string words = "byte " + formatted("0x%02X", byte);
  if (c.valid) words += " of " + formatted("U+%04X", static_cast<unsigned>(c.value));
  const bool visible = c.valid && c.value > 0x20 && c.value != 0x7F && (c.value < 0x80 || c.value > 0x9F);
  return visible ? words + " \"" + std::string(character) + "\"" : words;
}

void ByteFallback::put(std::string_view character) {
  unsigned char missing = 0;
  bool complete = true;
  for (const char b : character) {
    if (!complete || bytes_[static_cast<unsigned char>(b)] >= 0) continue;
    complete = false;
    missing = static_cast<unsigned char>(b);
  }
  if (complete) {
    for (const char b : character) ids_.push_back(bytes_[static_cast<unsigned char>(b)]);
    unknown_before_ = false;
    return;
  }
  if (otherwise_.unknown < 0)
    throw DataError(otherwise_.where + ": the tokenizer cannot spell this text: its vocabulary has no token for " +
                    byte_in_words(missing, character) + ", and no unknown token to stand for it");
  if (!unknown_before_ || !otherwise_.fuse) ids_.push_back(otherwise_.unknown);
  unknown_before_ = true;
}

}  // namespace stamp
