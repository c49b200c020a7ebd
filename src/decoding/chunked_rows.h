// The closed chunks of one cache (K or V of one layer) as packed integers. Specification methods 12.4.
#pragma once
#include <cstdint>
#include <vector>

#include "decoding/cache_rules.h"

namespace stamp {

class ChunkedRows {
 public:
  // `rules` must outlive this. `grid`: of this cache, with what a method has learned about its ranges.
  ChunkedRows(const CacheRules& rules, const ActivationGrid& grid) : rules_(&rules), grid_(grid) {}
  std::int64_t rows() const { return static_cast<std::int64_t>(chunks_.size()) * rules_->chunk; }
  // Does the next chunk close once it is full?
  bool closes_next() const { return rules_->closes(static_cast<std::int64_t>(chunks_.size())); }
  // rows: a full chunk, chunk x cols. Stored; afterwards `rows` holds what the store gives back.
  void close(MatrixView rows);
  // All closed rows, in the order of the sequence. out: rows() x cols.
  void restore(MatrixView out) const;
  std::uint64_t bytes() const;  // of everything stored

 private:
  void restore_chunk(std::size_t index, MatrixView out) const;
  const CacheRules* rules_;
  ActivationGrid grid_;
  std::vector<PackedRows> chunks_;
};

}  // namespace stamp
