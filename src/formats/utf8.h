// UTF-8, one code point at a time.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace stamp {

struct CodePoint {
  char32_t value = 0;
  int bytes = 0;  // read from the text; 0 at its end
  bool valid = false;
};
// The code point at `at`. Ill-formed input (overlong, surrogate, above U+10FFFF, cut short): U+FFFD, not valid, and the
// length of the maximal ill-formed part, as the Unicode standard recommends (section 3.9).
CodePoint decode_utf8(std::string_view text, std::size_t at);
void append_utf8(std::string& out, char32_t value);
bool is_utf8(std::string_view text);
std::size_t well_formed_bytes(std::string_view text);  // before the first ill-formed part
// Every ill-formed part becomes one U+FFFD.
std::string repaired_utf8(std::string_view text);

}  // namespace stamp
