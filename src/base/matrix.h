// Row-major float32 matrices owned by somebody else: what the numeric kernels see, so that
// transforms and quantizers build and test without LibTorch.
#pragma once
#include <cstdint>

namespace stamp {

struct MatrixView {
  float* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;  // floats from one row to the next, >= cols
  float* row(std::int64_t i) const { return data + i * stride; }
};

struct ConstMatrixView {
  const float* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;
  ConstMatrixView() = default;
  ConstMatrixView(const float* d, std::int64_t r, std::int64_t c, std::int64_t s)
      : data(d), rows(r), cols(c), stride(s) {}
  ConstMatrixView(const MatrixView& m) : data(m.data), rows(m.rows), cols(m.cols), stride(m.stride) {}
  const float* row(std::int64_t i) const { return data + i * stride; }
};

// C = A * B (or A * B^T when `transpose_b`), float32, no overlap between C and A, B. Kernels that need a
// dense product take one of these, so that the worker can hand in LibTorch's GEMM and tests a plain loop.
using Gemm = void (*)(ConstMatrixView a, ConstMatrixView b, bool transpose_b, MatrixView c);
void plain_gemm(ConstMatrixView a, ConstMatrixView b, bool transpose_b, MatrixView c);  // base/matrix.cpp

}  // namespace stamp
