// What turns one word into token ids, and what all such models need.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace stamp {

class WordModel {
 public:
  virtual ~WordModel() = default;
  // Appends the ids of `word`, well-formed UTF-8. DataError when the vocabulary cannot spell it.
  virtual void encode(std::string_view word, std::vector<std::int32_t>& ids) const = 0;
};

// Looks up string_view keys without a copy.
struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
template <typename T>
using StringMap = std::unordered_map<std::string, T, StringHash, std::equal_to<>>;

// What becomes of a character or byte that is no entry of the vocabulary.
struct Unspelled {
  std::int32_t unknown = -1;  // id to give instead; -1: none, then DataError
  bool fuse = false;          // neighbours become one unknown token
  std::string where;          // names the file in messages
};

// Appends the ids of characters without an entry: a token for each byte where all of them exist (byte fallback), else
// the unknown token. One object a word.
class ByteFallback {
 public:
  using Bytes = std::array<std::int32_t, 256>;  // id of each byte's token, -1: none
  ByteFallback(const Bytes& bytes, const Unspelled& otherwise, std::vector<std::int32_t>& ids)
      : bytes_(bytes), otherwise_(otherwise), ids_(ids) {}
  void put(std::string_view character);
  void spelled() { unknown_before_ = false; }  // an id from elsewhere has been appended

 private:
  const Bytes& bytes_;
  const Unspelled& otherwise_;
  std::vector<std::int32_t>& ids_;
  bool unknown_before_ = false;
};

// `<0xNN>`, and the byte of such a spelling; -1 for any other text. Either case of hexadecimal digits is read.
std::string spelling_of_byte(int byte);
int byte_of_spelling(std::string_view text);

// "byte 0x04 (of U+0004)": for messages.
std::string byte_in_words(unsigned char byte, std::string_view character);

}  // namespace stamp
