#include "transforms/rows.h"

#include <algorithm>
#include <cstring>

#include "transforms/vector.h"

namespace stamp {

void copy_rows_padded(ConstMatrixView x, MatrixView t) {
  const std::int64_t end = simd::padded(x.cols);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    float* to = t.row(i);
    std::memcpy(to, x.row(i), static_cast<std::size_t>(x.cols) * sizeof(float));
    std::fill(to + x.cols, to + end, 0.0f);
  }
}

void copy_rows_out(ConstMatrixView t, MatrixView out, bool stream) {
  for (std::int64_t i = 0; i < out.rows; ++i) {
    const float* from = t.row(i);
    float* to = out.row(i);
    if (!stream) {
      std::memcpy(to, from, static_cast<std::size_t>(out.cols) * sizeof(float));
      continue;
    }
    for (std::int64_t c = 0; c < out.cols; c += simd::width) simd::stream(to + c, simd::load(from + c));
  }
}

}  // namespace stamp
