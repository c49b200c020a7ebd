#include "models/decoder/segment_attention.h"

#include <cstring>
#include <stdexcept>

#include "models/tensors.h"

namespace stamp {
namespace {

ConstMatrixView part(const at::Tensor& matrix, std::int64_t first, std::int64_t count) {
  const ConstMatrixView all = const_view(matrix);
  return {all.row(first), count, all.cols, all.stride};
}

// The parent's rows and the segment's own ones below each other.
at::Tensor joined(const at::Tensor& matrix, std::int64_t parent, std::int64_t parent_rows, std::int64_t own,
                  std::int64_t own_rows) {
  at::Tensor out = fresh_matrix(parent_rows + own_rows, matrix.size(1));
  const auto width = static_cast<std::size_t>(matrix.size(1)) * sizeof(float);
  std::memcpy(view(out).row(0), part(matrix, parent, parent_rows).row(0),
              width * static_cast<std::size_t>(parent_rows));
  std::memcpy(view(out).row(parent_rows), part(matrix, own, own_rows).row(0),
              width * static_cast<std::size_t>(own_rows));
  return out;
}

}  // namespace

MatrixView rows_of(at::Tensor& matrix, std::int64_t first, std::int64_t count) {
  const MatrixView all = view(matrix);
  return {all.row(first), count, all.cols, all.stride};
}

void check_segments(const Segments& segments, std::int64_t rows) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const Segment& s = segments[i];
    if (s.rows < 1 || s.position < 0 || s.parent >= static_cast<std::int64_t>(i))
      throw std::logic_error("a segment has rows, a position, and a parent before it or none");
    if (s.parent >= 0) {
      const Segment& parent = segments[static_cast<std::size_t>(s.parent)];
      if (parent.parent >= 0 || s.position != parent.position + parent.rows)
        throw std::logic_error("a continuation begins where its parent ends, and its parent continues nothing");
    }
    sum += s.rows;
  }
  if (sum != rows) throw std::logic_error("segments of as many rows as the item has are needed");
}

void segment_attention(at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionShape& shape,
                       const Segments& segments) {
  std::vector<std::int64_t> firsts;
  // Outputs overwrite queries only, which nobody else reads.
  for_each_segment(segments, [&](const Segment& s, std::int64_t first) {
    firsts.push_back(first);
    const MatrixView out = rows_of(q, first, s.rows);
    if (s.parent < 0) {
      causal_attention(out, part(k, first, s.rows), part(v, first, s.rows), shape, out);
      return;
    }
    const auto p = static_cast<std::size_t>(s.parent);
    const std::int64_t before = segments[p].rows;
    const at::Tensor keys = joined(k, firsts[p], before, first, s.rows);
    const at::Tensor values = joined(v, firsts[p], before, first, s.rows);
    causal_attention(out, const_view(keys), const_view(values), shape, out);
  });
}

}  // namespace stamp
