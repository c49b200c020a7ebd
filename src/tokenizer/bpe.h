// Byte-pair encoding of one word on bytes. Specification: models 4.2, 4.3.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/word_model.h"

namespace stamp {

// Vocabularies spell bytes as printable characters (the table of GPT-2). Nothing when `text` has a character that
// spells no byte.
std::optional<std::string> bytes_of_spelling(std::string_view text);
std::string spelling_of_bytes(std::string_view bytes);

class Bpe : public WordModel {
 public:
  // `pieces`: vocabulary entries by id, as bytes; an entry without value cannot come out of merging (spelled
  // otherwise). `merges`: pairs as bytes, best first. `whole_words` (ignore_merges): a word that is an entry is taken
  // whole. `unspelled`: for bytes without an entry of their own, which published vocabularies have: SmolLM2's lacks
  // 0x04 and twenty others. `end_of_word`: the last byte of a word is spelled with it, and so are the entries that end
  // words (CLIP).
  Bpe(const std::vector<std::optional<std::string>>& pieces,
      const std::vector<std::pair<std::string, std::string>>& merges, bool whole_words, Unspelled unspelled = {},
      std::string end_of_word = {});

  void encode(std::string_view word, std::vector<std::int32_t>& ids) const override;

 private:
  struct Merge {
    std::int32_t rank = 0;
    std::int32_t symbol = 0;
  };
  static std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
    return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) | static_cast<std::uint32_t>(right);
  }
  std::int32_t symbol_of(const std::string& bytes);
  [[noreturn]] void fail(std::string_view word, unsigned char byte) const;

  bool whole_words_;
  Unspelled unspelled_;
  std::int32_t entries_;             // symbols below are ids, symbols from here on only appear in merges
  StringMap<std::int32_t> symbols_;  // bytes -> symbol
  std::vector<std::string> extra_;   // bytes of the symbols from entries_ on
  std::string end_of_word_;
  std::array<std::int32_t, 256> bytes_{};  // symbol of each single byte
  std::array<std::int32_t, 256> ends_{};   // the same at the end of a word
  std::unordered_map<std::uint64_t, Merge> merges_;
};

}  // namespace stamp
