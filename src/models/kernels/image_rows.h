// Steps of a diffusion transformer's block on raw floats: rows are the tokens of one image, row by row on their grid.
// Threaded over rows or heads; no result depends on the number of threads. Specification models 2.5, 2.6, 9, 12.3.
#pragma once
#include <cstdint>
#include <vector>

#include "base/matrix.h"

namespace stamp {

// out = (x - mean) / sqrt(variance + eps) * factor + shift, row by row; shift and factor: x.cols floats each. The
// variance is that of the row itself (divided by its length). `out` may be x. The factor is what the models write as
// 1 + scale: whole, so that one which was divided by a large number keeps its digits.
void modulated_norm(ConstMatrixView x, const float* shift, const float* factor, float eps, MatrixView out);
void add_gated(MatrixView x, const float* gate, ConstMatrixView y);  // x += gate * y; gate: x.cols floats

void silu(MatrixView x);       // x = x * sigmoid(x)
void gelu_tanh(MatrixView x);  // the tanh approximation

// The attention of SANA: with q and k cut off at zero, out_n = q_n (sum_m k_m v_m^T) / (q_n . sum_m k_m + 1e-15), head
// by head. q, k, v, out: s x (heads * head_dim); out may be q.
void linear_attention(ConstMatrixView q, ConstMatrixView k, ConstMatrixView v, std::int64_t head_dim, MatrixView out);

// The middle of SANA's feed-forward part. u: rows of a grid x 2 f, grid_width tokens a line, whole lines. A 3x3
// convolution of every channel with zeros around the grid, then the first half of the channels times silu of the
// second. weight: 9 x 2 f (taps line by line), bias: 2 f; out: s x f, not u.
void depthwise_gate(ConstMatrixView u, std::int64_t grid_width, const float* weight, const float* bias, MatrixView out);

// [cos(t f_0), ..., sin(t f_0), ...], f_i = exp(-ln(10000) i / (channels / 2 - shift)); channels even.
std::vector<float> number_sinusoid(float t, std::int64_t channels, double shift);

// Sines and cosines of a token's place, (rows * columns) x width; width a multiple of 4. The first half of the channels
// is the column's. Coordinates are scaled to a grid of base x base and divided by `scale`.
std::vector<float> position_table(std::int64_t width, std::int64_t rows, std::int64_t columns, std::int64_t base,
                                  double scale);

// Pixels of a C x H x W image as (H / p * W / p) x (C * p * p), channels outermost in a row, as a convolution with
// kernel and stride p reads them. p divides H and W.
void cut_patches(const float* image, std::int64_t channels, std::int64_t height, std::int64_t width, std::int64_t patch,
                 MatrixView out);
// (H / p * W / p) x (p * p * C), channels innermost in a row, as a C x H x W image.
void join_patches(ConstMatrixView rows, std::int64_t channels, std::int64_t height, std::int64_t width,
                  std::int64_t patch, float* image);

}  // namespace stamp
