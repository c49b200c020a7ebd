// SentencePiece's compiled table of character replacements (nmt_nfkc and the like): keys in a double array,
// replacements behind it. Specification: models 4.6.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace stamp {

class Charsmap {
 public:
  Charsmap() = default;  // replaces nothing
  // `blob`: u32 size of the double array in bytes (little-endian), the array, replacements that each end with a zero
  // byte. Empty: replaces nothing. DataError: sizes that do not fit.
  Charsmap(std::string_view blob, std::string where);

  struct Found {
    std::size_t bytes = 0;  // of the text; 0: no key starts it
    std::string_view text;  // what stands for them
  };
  // The longest key that `text` begins with, as SentencePiece takes it. DataError: a replacement outside the table.
  Found longest(std::string_view text) const { return find(text, true); }
  // The shortest one, as the tokenizers library takes it.
  Found shortest(std::string_view text) const { return find(text, false); }

 private:
  Found find(std::string_view text, bool longest) const;

  std::vector<std::uint32_t> units_;
  std::string replacements_;
  std::string where_;
};

// What the tokenizers library makes of a text with such a table: grapheme clusters of fewer than six bytes first, then
// single characters.
std::string replaced_by_cluster(std::string_view text, const Charsmap& table);

// All of SentencePiece's normalization: replacements, spaces, the space in front.
struct SentencePieceNormalizer {
  Charsmap table;
  bool space_in_front = true;     // add_dummy_prefix
  bool single_spaces = true;      // remove_extra_whitespaces
  bool spell_spaces = true;       // escape_whitespaces: U+2581 for a space
  std::vector<std::string> kept;  // user-defined pieces, never replaced
  std::string apply(std::string_view text) const;
};

}  // namespace stamp
