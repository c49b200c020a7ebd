// The inner loops shared by everything that quantizes: range of a group, its scale, quantize-dequantize.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "transforms/vector.h"

namespace stamp::kernels {

using simd::Floats;

// Range with zero inside, energy, and whether every value is finite.
struct Range {
  float low = 0, high = 0;
  double energy = 0;
  bool finite = true;
};

// Energies overflow float before the values do, so a sum that is not finite is looked at again, slowly.
inline Range check_range(const float* x, std::int64_t n, Range r) {
  if (std::isfinite(r.energy)) return r;
  r.energy = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(x[i])) r.finite = false;
    r.energy += static_cast<double>(x[i]) * x[i];
  }
  return r;
}

inline Range measure(const float* x, std::int64_t n) {
  constexpr std::int64_t w = simd::width;
  Floats low[4]{}, high[4]{}, energy[4]{};
  std::int64_t i = 0;
  for (; i + 4 * w <= n; i += 4 * w)
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      const Floats v = simd::load(x + i + k * w);
      low[k] = simd::min(v, low[k]);
      high[k] = simd::max(v, high[k]);
      energy[k] = simd::fma(v, v, energy[k]);
    }
  for (; i < n; i += w) {
    const Floats v = i + w <= n ? simd::load(x + i) : simd::load_part(x + i, n - i);
    low[0] = simd::min(v, low[0]);
    high[0] = simd::max(v, high[0]);
    energy[0] = simd::fma(v, v, energy[0]);
  }
  Range r;
  r.low = simd::smallest(simd::min(simd::min(low[0], low[1]), simd::min(low[2], low[3])));
  r.high = simd::largest(simd::max(simd::max(high[0], high[1]), simd::max(high[2], high[3])));
  r.energy = static_cast<double>(simd::sum((energy[0] + energy[1]) + (energy[2] + energy[3])));
  return check_range(x, n, r);
}

// How one group is written back.
struct Scale {
  enum class Kind { uniform, zero, untouched, not_a_number };
  Kind kind = Kind::uniform;
  float delta = 1, inverse = 1;
  float low = 0, high = 0;  // bounds of round(x / delta): -z and N - z
  bool divide = false;      // too small or large for reciprocals and float squares: divide, sum in double
};

// `steps`: N = levels - 1; negative = leave untouched. clip_low and clip_high multiply the ends of the range.
inline Scale make_scale(const Range& range, std::int64_t steps, bool symmetric, double clip_low, double clip_high) {
  Scale s;
  if (steps < 0) {
    s.kind = Scale::Kind::untouched;
    return s;
  }
  if (!range.finite) {  // the range would be infinite or NaN, and so every value of the group
    s.kind = Scale::Kind::not_a_number;
    return s;
  }
  const float low = range.low * static_cast<float>(clip_low), high = range.high * static_cast<float>(clip_high);
  const float n = static_cast<float>(steps);
  if (symmetric) {
    const float limit = std::max(-low, high), half = static_cast<float>(steps / 2);
    s.delta = limit / half;
    s.low = half - n;
    s.high = half;
    if (half == 0 || limit == 0) s.delta = 0;
  } else {
    s.delta = steps == 0 ? 0 : (high - low) / n;
    const float zero = s.delta > 0 ? std::nearbyint(-low / s.delta) : 0;
    s.low = -zero;
    s.high = n - zero;
  }
  if (s.delta == 0) s.kind = Scale::Kind::zero;
  s.inverse = 1 / s.delta;
  s.divide = !(s.delta >= 1e-30f && range.high - range.low <= 1e15f);
  return s;
}

inline Scale make_scale(const Range& range, std::int64_t steps, bool symmetric, double clip) {
  return make_scale(range, steps, symmetric, clip, clip);
}

// x / delta rounded as a division would: with FMA the product with the reciprocal is corrected by its residual.
[[gnu::always_inline]] inline Floats quotient(Floats x, Floats delta, Floats inverse) {
#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__))
  const Floats y = x * inverse;
  return simd::fma(simd::fnma(y, delta, x), inverse, y);
#else
  static_cast<void>(inverse);
  return x / delta;
#endif
}

// Levels of one vector of values, as floats.
[[gnu::always_inline]] inline Floats levels(Floats x, Floats delta, Floats inverse, Floats low, Floats high) {
  return simd::round_even(simd::min(simd::max(quotient(x, delta, inverse), low), high));
}

// out may be x. Returns the sum of squared errors.
inline double apply(const float* x, std::int64_t n, const Scale& s, float* out) {
  using Kind = Scale::Kind;
  double error = 0;
  if (s.kind == Kind::untouched) {
    if (out != x) std::copy_n(x, n, out);
    return 0;
  }
  if (s.kind == Kind::zero) {
    for (std::int64_t i = 0; i < n; ++i) error += static_cast<double>(x[i]) * x[i];
    std::fill_n(out, n, 0.0f);
    return error;
  }
  if (s.kind == Kind::not_a_number) {
    std::fill_n(out, n, std::numeric_limits<float>::quiet_NaN());
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (s.divide) {
    for (std::int64_t i = 0; i < n; ++i) {
      const float value = s.delta * std::clamp(std::nearbyint(x[i] / s.delta), s.low, s.high);
      const double e = static_cast<double>(value) - x[i];
      error += e * e;
      out[i] = value;
    }
    return error;
  }
  constexpr std::int64_t w = simd::width;
  const Floats delta = simd::broadcast(s.delta), inverse = simd::broadcast(s.inverse);
  const Floats low = simd::broadcast(s.low), high = simd::broadcast(s.high);
  Floats sums[4]{};
  std::int64_t i = 0;
  for (; i + 4 * w <= n; i += 4 * w)
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      const Floats v = simd::load(x + i + k * w);
      const Floats q = levels(v, delta, inverse, low, high) * delta;
      const Floats e = q - v;
      sums[k] = simd::fma(e, e, sums[k]);
      simd::store(out + i + k * w, q);
    }
  for (; i < n; i += w) {
    const std::int64_t count = std::min(w, n - i);
    const Floats v = simd::load_part(x + i, count);
    const Floats q = levels(v, delta, inverse, low, high) * delta;
    const Floats e = q - v;
    sums[0] = simd::fma(e, e, sums[0]);
    simd::store_part(out + i, q, count);
  }
  error = static_cast<double>(simd::sum((sums[0] + sums[1]) + (sums[2] + sums[3])));
  return error;
}

}  // namespace stamp::kernels
