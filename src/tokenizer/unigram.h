// SentencePiece's unigram model: of all ways to cut a text into entries, the one with the largest sum of scores.
// Specification: models 4.6.
#pragma once
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "tokenizer/word_model.h"

namespace stamp {

class Unigram : public WordModel {
 public:
  struct Piece {
    std::string text;  // UTF-8, not empty
    std::int32_t id = 0;
    float score = 0;            // logarithm of a probability, finite
    bool user_defined = false;  // taken wherever it fits
  };
  struct Settings {
    std::vector<Piece> pieces;  // texts differ
    ByteFallback::Bytes bytes{};
    Unspelled unspelled;
    double unknown_score = 0;  // of a character that is no entry
    // SentencePiece keeps the best sum up to a place in float32, the tokenizers library in float64: texts with two
    // equally good cuts may come out differently.
    bool float_sums = false;
  };
  static constexpr double kUnknownPenalty = 10;  // below the smallest score of all entries

  explicit Unigram(Settings settings);
  void encode(std::string_view word, std::vector<std::int32_t>& ids) const override;

 private:
  // Entries by their bytes: children of a node of the tree, and the entry that ends at a node.
  std::int32_t child(std::int32_t node, unsigned char byte) const {
    const auto found = children_.find((static_cast<std::uint64_t>(static_cast<std::uint32_t>(node)) << 8) | byte);
    return found == children_.end() ? -1 : found->second;
  }

  Settings settings_;
  double user_defined_score_ = 0;  // per byte
  std::unordered_map<std::uint64_t, std::int32_t> children_;
  std::vector<std::int32_t> piece_at_;  // by node; -1: none
};

}  // namespace stamp
