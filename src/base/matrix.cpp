#include "base/matrix.h"

namespace stamp {

void plain_gemm(ConstMatrixView a, ConstMatrixView b, bool transpose_b, MatrixView c) {
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < c.rows; ++i) {
    float* out = c.row(i);
    if (transpose_b) {
      for (std::int64_t j = 0; j < c.cols; ++j) {
        const float* x = a.row(i);
        const float* y = b.row(j);
        float sum = 0;
        for (std::int64_t k = 0; k < a.cols; ++k) sum += x[k] * y[k];
        out[j] = sum;
      }
      continue;
    }
    for (std::int64_t j = 0; j < c.cols; ++j) out[j] = 0;
    for (std::int64_t k = 0; k < a.cols; ++k) {
      const float factor = a.row(i)[k];
      const float* y = b.row(k);
      for (std::int64_t j = 0; j < c.cols; ++j) out[j] += factor * y[j];
    }
  }
}

}  // namespace stamp
