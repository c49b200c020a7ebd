// Tokens that are cut out of the text before anything else. Specification: models 4.1, step 1.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
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
  AddedTokens(const AddedTokens&) = delete;              // the index looks into tokens_
  AddedTokens& operator=(const AddedTokens&) = delete;
  // Leftmost match first, the longest of those that start together; no part is empty.
  std::vector<Cut> cut(std::string_view text, bool with_special) const;
  const std::vector<AddedToken>& all() const { return tokens_; }

 private:
  const AddedToken* match(std::string_view text, std::size_t at, bool with_special) const;

  std::vector<AddedToken> tokens_;  // long ones first
  // Vocabularies have thousands of tokens that begin alike (<unused0>, ...): looked up by length, not one by one.
  std::array<std::vector<std::size_t>, 256> lengths_;                         // by first byte, long ones first
  std::unordered_map<std::string_view, std::vector<std::uint32_t>> indices_;  // by text, into tokens_
};

}  // namespace stamp
