// Byte-pair encoding on characters, as SentencePiece and the models converted from it do. Specification:
// models 4.3, 4.5; gemma3, section 4.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tokenizer/word_model.h"

namespace stamp {

// An entry of a vocabulary that text can come out as.
struct Entry {
  std::string text;  // UTF-8, not empty
  std::int32_t id = 0;
};

// A list of merges, best first (tokenizer.json). Characters that are no entry fall back to bytes before merging, as in
// the tokenizers library.
class RankedBpe : public WordModel {
 public:
  struct Settings {
    std::vector<Entry> entries;                               // texts differ
    std::vector<std::pair<std::string, std::string>> merges;  // parts and results are entries; of equal pairs the last
                                                              // counts, as in the library
    bool whole_words = false;                                 // ignore_merges: a word that is an entry is taken whole
    bool byte_fallback = false;                               // entries <0xNN> stand for bytes
    Unspelled unspelled;
  };
  explicit RankedBpe(Settings settings);
  void encode(std::string_view word, std::vector<std::int32_t>& ids) const override;

 private:
  struct Merge {
    std::int32_t rank = 0;
    std::int32_t id = 0;
  };
  bool whole_words_;
  Unspelled unspelled_;
  StringMap<std::int32_t> ids_;
  ByteFallback::Bytes bytes_{};
  std::unordered_map<std::uint64_t, Merge> merges_;
};

// A score for each entry and no list of merges (SentencePiece's own form): two neighbours merge when their
// concatenation is an entry, the highest score first, the leftmost of equals.
class ScoredBpe : public WordModel {
 public:
  struct Scored : Entry {
    float score = 0;
    bool unused = false;  // a step on the way to other entries, taken apart again where it is left over
  };
  struct Settings {
    std::vector<Scored> entries;  // texts differ; scores are finite
    ByteFallback::Bytes bytes{};
    Unspelled unspelled;
  };
  explicit ScoredBpe(Settings settings);
  void encode(std::string_view word, std::vector<std::int32_t>& ids) const override;

 private:
  std::vector<Scored> entries_;
  Unspelled unspelled_;
  ByteFallback::Bytes bytes_{};
  StringMap<std::int32_t> index_;  // text -> place in entries_
  std::size_t longest_ = 0;        // bytes
};

}  // namespace stamp
