// How the key or value cache of a layer stores its rows: open ones as they are, full chunks transformed along the
// sequence (option A) or not (option B), quantized and packed. Specification methods 12.4, 2.5 (one L per chunk).
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/spec.h"
#include "quant/packed.h"
#include "transforms/sequence_transform.h"

namespace stamp {

struct CacheRules {
  double bits = 16;      // of a row of a closed chunk; 16: no chunk is ever closed, rows stay float32
  double high_bits = 8;  // of the high-precision rows
  std::int64_t chunk = 64;
  std::int64_t high_rows = 2;        // option A: the first rows of every transformed chunk
  std::int64_t high_positions = 64;  // option B: the first positions of the sequence
  std::int64_t open_beyond = -1;     // chunks that end beyond this position stay open; -1: none does
  ActivationGrid grid;               // group hd: a scale per head
  // Option A: of the chunk that starts the sequence (its skipped rows stay outside) and of all others; null: option B.
  std::shared_ptr<const SequenceTransform> first, other;

  bool quantizes() const { return bits < 16; }
  bool transformed() const { return other != nullptr; }
  const SequenceTransform* transform_of(std::int64_t index) const { return index == 0 ? first.get() : other.get(); }
  std::vector<float> row_bits(std::int64_t index) const;  // of chunk `index`, `chunk` of them
  bool closes(std::int64_t index) const {
    return quantizes() && (open_beyond < 0 || (index + 1) * chunk <= open_beyond);
  }
};

// The rules of a trial's caches, `head_dim` values to a head. TrialError ("unsupported"): an allocation that has no
// rule for a chunk, a transform that needs a basis, bits that cannot be packed.
CacheRules cache_rules(const QuantizationSpec& quantization, const DecodeSpec& decode, std::int64_t head_dim,
                       Gemm gemm);

// Bytes of the first `tokens` rows of `cols` values under `rules` by formula: packed rows of closed chunks, float32 of
// open ones. What the structures measure beyond that is less than `overhead` a chunk.
std::uint64_t cache_bytes(const CacheRules& rules, std::int64_t tokens, std::int64_t cols);
// Mean bits of the stored values, scales and zero points left out; a float32 row counts 16, as everywhere.
double cache_average_bits(const CacheRules& rules, std::int64_t tokens);

}  // namespace stamp
