// Attention among the rows of several segments. Specification models 2.3.
#pragma once
#include <ATen/core/Tensor.h>

#include "models/kernels/attention.h"
#include "models/network.h"

namespace stamp {

// Calls visit(segment, its first row).
template <class Visit>
void for_each_segment(const Segments& segments, Visit&& visit) {
  std::int64_t first = 0;
  for (const Segment& segment : segments) {
    visit(segment, first);
    first += segment.rows;
  }
}

MatrixView rows_of(at::Tensor& matrix, std::int64_t first, std::int64_t count);

// q: rows x (nh * hd), replaced by the outputs; k, v: rows x (nkv * hd). A row sees the rows of its segment up to
// itself, and before them those of the segment's parent.
void segment_attention(at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionShape& shape,
                       const Segments& segments);
// Sizes and parents as Segment promises, `rows` in all: std::logic_error otherwise.
void check_segments(const Segments& segments, std::int64_t rows);

}  // namespace stamp
