#include "decoding/chunked_rows.h"

#include <stdexcept>

namespace stamp {

void ChunkedRows::close(MatrixView rows) {
  const auto index = static_cast<std::int64_t>(chunks_.size());
  if (!closes_next() || rows.rows != rules_->chunk)
    throw std::logic_error("a cache closes full chunks of its own length");
  const SequenceTransform* l = rules_->transform_of(index);
  if (l) transform_forward(*l, rows);
  chunks_.emplace_back(rows, rules_->row_bits(index), grid_);
  restore_chunk(chunks_.size() - 1, rows);
}

void ChunkedRows::restore_chunk(std::size_t index, MatrixView out) const {
  chunks_[index].dequantize(out);
  const SequenceTransform* l = rules_->transform_of(static_cast<std::int64_t>(index));
  if (l) transform_inverse(*l, out);
}

void ChunkedRows::restore(MatrixView out) const {
  const std::int64_t chunk = rules_->chunk;
#pragma omp parallel for schedule(dynamic, 1) if (chunks_.size() > 1 && out.rows * out.cols > 16384)
  for (std::size_t i = 0; i < chunks_.size(); ++i) {
    const std::int64_t begin = static_cast<std::int64_t>(i) * chunk;
    restore_chunk(i, {out.row(begin), chunk, out.cols, out.stride});
  }
}

std::uint64_t ChunkedRows::bytes() const {
  std::uint64_t bytes = 0;
  for (const PackedRows& chunk : chunks_) bytes += chunk.bytes();
  return bytes;
}

}  // namespace stamp
