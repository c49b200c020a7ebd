// Uniform quantization grids on groups of floats, quantize-dequantize in float32. Specification methods 1.2 to 1.5.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/matrix.h"

namespace stamp {

// bits >= 16 leaves values untouched. Fractional bits (the published optimal rule) mean round(2^bits) levels.
struct Grid {
  double bits = 4;
  bool symmetric = false;  // false: min-max with an integer zero point and zero forced into the range
  double clip = 1.0;       // (0, 1]; multiplies the range
  double clip_low = 1.0;   // further factors, of the lower and the upper end alone
  double clip_high = 1.0;
  std::int64_t group = 0;  // consecutive values sharing a scale; 0 = the whole row; the last group may be short
};
std::int64_t steps_of(double bits);  // N = levels - 1 of the asymmetric grid, 0 for less than one bit

// One group, the obvious loop (reference and tests).
void fake_quantize_group(std::span<const float> x, const Grid& grid, std::span<float> out);
// Every row with the same grid, vectorised and threaded; in place allowed (out.data == x.data).
void fake_quantize_rows(ConstMatrixView x, const Grid& grid, MatrixView out);

// Weights (m x d), per output channel or per group of input channels, optional clip search: the range is shrunk by
// p = 1 - i/100, i = 0..79, and the p with the smallest sum |error|^2.4 wins, ties keep the larger p. In place.
struct WeightGrid {
  double bits = 4;
  bool symmetric = true;
  bool clip_search = true;
  std::int64_t group = 0;  // 0 = per output channel
};
void fake_quantize_weight(MatrixView weight, const WeightGrid& grid);

}  // namespace stamp
