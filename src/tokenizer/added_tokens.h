// Tokens that are cut out of the text before anything else. Specification: models 4.1, step 1.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace stamp {

struct AddedToken {
  std::string text;
  std::int32_t id = 0;
  bool special = false;      // a control token: recognised only when the caller asks for special tokens
  bool normalized = false;   // looked for after normalization, not before
  bool single_word = false;  // only between characters that are not part of a word
  bool strip_left = false, strip_right = false;  // takes the white space beside it along
};

// A part of the text: an added token (id >= 0) or text in between.
struct Cut {
  std::string_view text;
  std::int32_t id = -1;
};

class AddedTokens {
 public:
  explicit AddedTokens(std::vector<AddedToken> tokens);  // tokens with empty text are left out
  // Leftmost match first, the longest of those that start together; no part is empty.
  std::vector<Cut> cut(std::string_view text, bool with_special) const;
  const std::vector<AddedToken>& all() const { return tokens_; }

 private:
  std::vector<AddedToken> tokens_;                             // long ones first
  std::array<std::vector<std::uint32_t>, 256> by_first_byte_;  // indices into tokens_, long ones first
};

}  // namespace stamp
