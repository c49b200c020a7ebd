// Row-wise float32 steps of a transformer block, vectorised and threaded over rows. Specification models 2.1, 2.2, 2.4.
#pragma once
#include <cstdint>
#include <vector>

#include "base/matrix.h"

namespace stamp {

// out = x * rsqrt(mean(x^2) + eps) * weight, row by row; weight: x.cols floats. `out` may be x.
void rms_norm(ConstMatrixView x, const float* weight, float eps, MatrixView out);
// x += y, then as rms_norm: one pass over the residual stream instead of two.
void add_rms_norm(MatrixView x, ConstMatrixView y, const float* weight, float eps, MatrixView out);
void add(MatrixView x, ConstMatrixView y);  // x += y

// Cosines and sines of position * frequency, float32 angles as the references have them: rows x hd / 2 each.
struct RopeTable {
  std::int64_t half = 0;
  std::vector<float> cosines, sines;
};
RopeTable rope_table(std::int64_t positions, const std::vector<float>& frequencies);
// Rotates pairs (i, i + hd / 2) of every head in place; row r is position first + r, which the table has to cover.
// x: s x (n * hd), hd = 2 * table.half.
void apply_rope(MatrixView x, const RopeTable& table, std::int64_t first = 0);

// gate = silu(gate) * up.
void silu_multiply(MatrixView gate, ConstMatrixView up);
// gate = gelu(gate) * up with the tanh approximation: 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
void gelu_tanh_multiply(MatrixView gate, ConstMatrixView up);
// x = cap * tanh(x / cap), cap > 0. Specification models 3.4.
void soft_cap(MatrixView x, float cap);
void scale_by(MatrixView x, float factor);  // x = x * factor

}  // namespace stamp
