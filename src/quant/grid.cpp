#include "quant/grid.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "quant/kernels.h"

namespace stamp {

std::int64_t steps_of(double bits) {
  if (!(bits >= 1)) return 0;
  return std::llround(std::exp2(std::min(bits, 30.0))) - 1;
}

void fake_quantize_group(std::span<const float> x, const Grid& grid, std::span<float> out) {
  if (grid.bits >= 16) {
    std::copy(x.begin(), x.end(), out.begin());
    return;
  }
  float low = 0, high = 0;
  for (const float v : x) {
    if (!std::isfinite(v)) {  // an infinite range makes every level 0 * inf
      std::fill(out.begin(), out.end(), std::numeric_limits<float>::quiet_NaN());
      return;
    }
    low = std::min(low, v);
    high = std::max(high, v);
  }
  low *= static_cast<float>(grid.clip * grid.clip_low);
  high *= static_cast<float>(grid.clip * grid.clip_high);
  const std::int64_t steps = steps_of(grid.bits);
  float delta = 0, level_low = 0, level_high = 0;
  if (grid.symmetric) {
    const std::int64_t half = steps / 2;  // 2^{b-1} - 1
    const float limit = std::max(-low, high);
    if (half > 0) delta = limit / static_cast<float>(half);
    level_low = static_cast<float>(half - steps);
    level_high = static_cast<float>(half);
  } else {
    if (steps > 0) delta = (high - low) / static_cast<float>(steps);
    const float zero = delta > 0 ? std::nearbyint(-low / delta) : 0;
    level_low = -zero;
    level_high = static_cast<float>(steps) - zero;
  }
  for (std::size_t i = 0; i < x.size(); ++i)
    out[i] = delta > 0 ? delta * std::clamp(std::nearbyint(x[i] / delta), level_low, level_high) : 0.0f;
}

void fake_quantize_rows(ConstMatrixView x, const Grid& grid, MatrixView out) {
  const std::int64_t steps = grid.bits >= 16 ? -1 : steps_of(grid.bits);
  const std::int64_t group = grid.group > 0 ? grid.group : std::max<std::int64_t>(x.cols, 1);
#pragma omp parallel for schedule(static) if (x.rows * x.cols > 16384)
  for (std::int64_t i = 0; i < x.rows; ++i)
    for (std::int64_t c = 0; c < x.cols; c += group) {
      const std::int64_t n = std::min(group, x.cols - c);
      const float* from = x.row(i) + c;
      const kernels::Range range = steps < 0 ? kernels::Range{} : kernels::measure(from, n);
      kernels::apply(
          from, n,
          kernels::make_scale(range, steps, grid.symmetric, grid.clip * grid.clip_low, grid.clip * grid.clip_high),
          out.row(i) + c);
    }
}

}  // namespace stamp
