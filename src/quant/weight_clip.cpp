#include "quant/weight_clip.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/matrix.h"

namespace stamp {
namespace {

using simd::Floats;
using simd::Ints;

// 2^(r / 5), r = 0..4.
[[gnu::always_inline]] inline Floats two_to_fifths(Ints r) {
  constexpr float values[5] = {1.0f, 1.1486983550f, 1.3195079108f, 1.5157165665f, 1.7411011266f};
#if defined(__AVX2__)
  constexpr Floats table{values[0], values[1], values[2], values[3], values[4]};  // the others are never asked for
  return __builtin_shuffle(table, r);
#else
  Floats out = simd::broadcast(values[0]);
  for (int i = 1; i < 5; ++i) out = r == i ? simd::broadcast(values[i]) : out;
  return out;
#endif
}

// |u|^2.4 = v v^0.2 with v = u^2 = m 2^(5 k + r): m^0.2 by a polynomial on [1, 2) (fitted at Chebyshev points,
// relative error 1.3e-6), 2^(r/5) from a table, 2^k into the exponent. No logarithm is needed.
[[gnu::always_inline]] inline Floats power(Floats u) {
  const Floats v = u * u;
  const Ints bits = (Ints)v;
  const Floats exponent = __builtin_convertvector((bits >> 23) - 127, Floats);
  const Floats mantissa = (Floats)((bits & 0x007fffff) | 0x3f800000);
  // floor(e / 5): e is an integer, so adding less than a fifth before rounding keeps exact multiples.
  const Floats k = simd::round_even(exponent * 0.2f - 0.4f);
  const Ints rest = __builtin_convertvector(exponent - 5.0f * k, Ints);
  Floats poly = simd::broadcast(0.004171800799667835f);
  poly = simd::fma(poly, mantissa, simd::broadcast(-0.03928879648447037f));
  poly = simd::fma(poly, mantissa, simd::broadcast(0.15722282230854034f));
  poly = simd::fma(poly, mantissa, simd::broadcast(-0.3563835918903351f));
  poly = simd::fma(poly, mantissa, simd::broadcast(0.577295184135437f));
  poly = simd::fma(poly, mantissa, simd::broadcast(0.6569839119911194f));
  const Floats two_k = (Floats)((__builtin_convertvector(k, Ints) + 127) << 23);
  return v * poly * (two_to_fifths(rest) * two_k);
}

struct ShrunkGrid {
  float delta = 0, low = 0, high = 0;
};
ShrunkGrid shrink(float low, float high, std::int64_t steps, bool symmetric, float p) {
  const auto n = static_cast<float>(steps);
  if (symmetric) {
    const auto half = static_cast<float>(steps / 2);
    return {std::max(-low, high) * p / half, half - n, half};
  }
  low *= p;
  high *= p;
  const float delta = (high - low) / n, zero = std::nearbyint(-low / delta);
  return {delta, -zero, n - zero};
}

}  // namespace

void power_2_4(const float* u, float* out) {
  simd::store(out, power(simd::load(u)));
}

double clip_error(std::span<const float> x, float low, float high, std::int64_t steps, bool symmetric, float p,
                  double stop_at) {
  const ShrunkGrid g = shrink(low, high, steps, symmetric, p);
  const double unit = std::pow(static_cast<double>(g.delta), clip_exponent);
  const Floats inverse = simd::broadcast(1 / g.delta), bottom = simd::broadcast(g.low), top = simd::broadcast(g.high);
  const auto n = static_cast<std::int64_t>(x.size());
  const auto term = [&](Floats v) {
    const Floats y = v * inverse;
    return power(y - simd::round_even(simd::min(simd::max(y, bottom), top)));
  };
  double sum = 0;
  constexpr std::int64_t piece = 256;  // how often the early stop is tried
  for (std::int64_t begin = 0; begin < n; begin += piece) {
    const std::int64_t end = std::min(n, begin + piece);
    Floats sums[2]{};
    std::int64_t i = begin;
    for (; i + 2 * simd::width <= end; i += 2 * simd::width) {
      sums[0] += term(simd::load(x.data() + i));
      sums[1] += term(simd::load(x.data() + i + simd::width));
    }
    for (; i < end; i += simd::width) sums[0] += term(simd::load_part(x.data() + i, std::min(simd::width, end - i)));
    sum += static_cast<double>(simd::sum(sums[0] + sums[1]));
    if (unit * sum >= stop_at) break;
  }
  return unit * sum;
}

float best_clip(std::span<const float> x, float low, float high, std::int64_t steps, bool symmetric) {
  double best = std::numeric_limits<double>::infinity();
  float best_p = 1;
  for (int i = 0; i < clip_candidates; ++i) {
    const auto p = static_cast<float>(1 - i / 100.0);
    const double error = clip_error(x, low, high, steps, symmetric, p, best);
    if (error < best) {
      best = error;
      best_p = p;
    }
  }
  return best_p;
}

kernels::Scale weight_scale(std::span<const float> group, const WeightGrid& grid) {
  const std::int64_t steps = grid.bits >= 16 ? -1 : steps_of(grid.bits);
  kernels::Range range = kernels::measure(group.data(), static_cast<std::int64_t>(group.size()));
  // Specification 1.3: max |w| is at least 1e-5, so that an all-zero channel has a scale.
  if (grid.symmetric && range.finite) range.high = std::max({range.high, -range.low, 1e-5f});
  double clip = 1;
  const bool scaled = range.finite && steps >= (grid.symmetric ? 2 : 1) && range.high - range.low > 0;
  if (grid.clip_search && scaled)
    clip = static_cast<double>(best_clip(group, range.low, range.high, steps, grid.symmetric));
  return kernels::make_scale(range, steps, grid.symmetric, clip);
}

void fake_quantize_weight(MatrixView weight, const WeightGrid& grid) {
  if (grid.bits >= 16) return;
  const std::int64_t group = grid.group > 0 ? grid.group : std::max<std::int64_t>(weight.cols, 1);
#pragma omp parallel for schedule(dynamic, 8)
  for (std::int64_t i = 0; i < weight.rows; ++i)
    for (std::int64_t c = 0; c < weight.cols; c += group) {
      const std::int64_t n = std::min(group, weight.cols - c);
      float* w = weight.row(i) + c;
      kernels::apply(w, n, weight_scale({w, static_cast<std::size_t>(n)}, grid), w);
    }
}

}  // namespace stamp
