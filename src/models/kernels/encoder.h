// Steps of text and image encoders on raw floats, threaded over rows or heads. Specification models 7, 8.
#pragma once
#include <cstdint>

#include "base/matrix.h"

namespace stamp {

struct EncoderAttention {
  std::int64_t heads = 1, head_dim = 1;
  float scale = 1;      // of the scores
  bool causal = false;  // row i sees rows 0 .. i
  // Added to the scores: heads x (2 s - 1) floats, of head h and key j for query i at h * (2 s - 1) + j - i + s - 1;
  // null = nothing.
  const float* by_distance = nullptr;
};
// q: s x (heads * head_dim), all rows of one sequence; k, v: the same of that sequence, or, neither causal nor by
// distance, of another one of any length (cross attention). out may be q itself. Whole score rows, softmax in float32:
// encoders' sequences are short. The result does not depend on the number of threads.
void encoder_attention(ConstMatrixView q, ConstMatrixView k, ConstMatrixView v, const EncoderAttention& shape,
                       MatrixView out);

// out = (x - mean) / sqrt(variance + eps) * weight + bias, row by row; weight and bias: x.cols floats. out may be x.
void layer_norm(ConstMatrixView x, const float* weight, const float* bias, float eps, MatrixView out);

void quick_gelu(MatrixView x);      // x * sigmoid(1.702 x)
void exact_gelu(MatrixView x);      // x / 2 * (1 + erf(x / sqrt(2)))
void normalize_rows(MatrixView x);  // every row to length 1; a row of zeros stays

}  // namespace stamp
