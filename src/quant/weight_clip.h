// The clip search of weights, apart so that its pieces can be tested. Specification methods 1.5.
#pragma once
#include <cstdint>
#include <span>

#include "quant/grid.h"
#include "quant/kernels.h"

namespace stamp {

inline constexpr int clip_candidates = 80;  // p = 1 - i / 100
inline constexpr double clip_exponent = 2.4;

// sum over x of |x / delta - level|^2.4 for the grid of a range shrunk by p, times delta^2.4; stops early with some
// value >= stop_at once that is reached (the terms are not negative). low, high: the unshrunk range, zero inside.
double clip_error(std::span<const float> x, float low, float high, std::int64_t steps, bool symmetric, float p,
                  double stop_at);
// The p with the smallest error; ties keep the larger p.
float best_clip(std::span<const float> x, float low, float high, std::int64_t steps, bool symmetric);
// The scale of one group of weights: range, clip search where the grid asks for it. Kind `zero` for an asymmetric group
// of zeros, `not_a_number` where a value is not finite.
kernels::Scale weight_scale(std::span<const float> group, const WeightGrid& grid);
// |u|^2.4 of one vector (base/vector_width.h), relative error below 3e-6; u = 0 gives 0.
void power_2_4(const float* u, float* out);

}  // namespace stamp
