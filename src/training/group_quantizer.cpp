#include "training/group_quantizer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "quant/kernels.h"

namespace stamp::training {
namespace {

// Range of the values themselves, zero not forced into it, and where its ends are attained first.
struct Ends {
  float low, high;
  std::int64_t low_at = 0, high_at = 0;
};

Ends ends_of(const float* x, std::int64_t n) {
  Ends e{std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()};
  float low = e.low, high = e.high;
#pragma omp simd reduction(min : low) reduction(max : high)
  for (std::int64_t i = 0; i < n; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
  }
  e.low = low;
  e.high = high;
  e.low_at = std::find(x, x + n, low) - x;
  e.high_at = std::find(x, x + n, high) - x;
  return e;
}

constexpr float smallest_weight_range = 1e-5f;  // specification 1.3

// Limits that a weight's values are clamped to. Where all values have one sign, a small factor can bring the limits
// past one another; every value is then the upper one (torch.clamp).
struct Limits {
  float low, high;
  bool crossed = false;
};
Limits limits_of(const Ends& e, double clip_low, double clip_high) {
  const float low = e.low * static_cast<float>(clip_low), high = e.high * static_cast<float>(clip_high);
  return {std::min(low, high), high, low > high};
}

kernels::Range range_with_zero(float low, float high) {
  kernels::Range r;
  r.low = std::min(0.0f, low);
  r.high = std::max(0.0f, high);
  return r;
}

kernels::Scale weight_scale(kernels::Range range, const GroupRule& rule) {
  if (rule.symmetric && range.finite) range.high = std::max({range.high, -range.low, smallest_weight_range});
  return kernels::make_scale(range, rule.steps, rule.symmetric, 1.0);
}

}  // namespace

void quantize_group(const float* x, std::int64_t n, const GroupRule& rule, double clip_low, double clip_high,
                    float* out) {
  if (!rule.clamp) {
    kernels::apply(x, n, kernels::make_scale(kernels::measure(x, n), rule.steps, rule.symmetric, clip_low, clip_high),
                   out);
    return;
  }
  const Limits limits = limits_of(ends_of(x, n), clip_low, clip_high);
  for (std::int64_t i = 0; i < n; ++i) out[i] = std::min(std::max(x[i], limits.low), limits.high);
  kernels::apply(out, n, weight_scale(kernels::measure(out, n), rule), out);
}

ClipGradient group_gradient(const float* x, const float* above, std::int64_t n, const GroupRule& rule, double clip_low,
                            double clip_high, float* out) {
  const Ends e = ends_of(x, n);
  if (!std::isfinite(e.low) || !std::isfinite(e.high)) {
    std::fill_n(out, n, std::numeric_limits<float>::quiet_NaN());
    return {out[0], out[0]};
  }
  const Limits limits = limits_of(e, clip_low, clip_high);
  kernels::Range range;
  kernels::Scale s;
  if (rule.clamp) {
    range = range_with_zero(std::max(e.low, limits.low), std::min(e.high, limits.high));
    s = weight_scale(range, rule);
  } else {
    range = range_with_zero(e.low, e.high);
    s = kernels::make_scale(range, rule.steps, rule.symmetric, clip_low, clip_high);
  }
  if (s.kind != kernels::Scale::Kind::uniform) {  // all zero: nothing to follow
    std::fill_n(out, n, 0.0f);
    return {};
  }
  // Sums over the group: of gradient * dy/dD, of gradient * dy/dz / -D, of the gradient of values clamped to a limit.
  float by_step = 0, by_zero = 0, by_low = 0, by_high = 0;
  const float delta = s.delta, bottom = s.low, top = s.high;
  const float low = rule.clamp ? limits.low : -std::numeric_limits<float>::infinity();
  const float high = rule.clamp ? limits.high : std::numeric_limits<float>::infinity();
#pragma omp simd reduction(+ : by_step, by_zero, by_low, by_high)
  for (std::int64_t i = 0; i < n; ++i) {
    const float g = above[i];
    const float u = std::min(std::max(x[i], low), high);
    const float t = u / delta;
    const float level = std::nearbyint(t);
    const float kept = std::min(std::max(level, bottom), top);
    const bool inside = kept == level;
    const float through = inside ? g : 0.0f;
    by_step += g * (kept - (inside ? t : 0.0f));
    by_zero += g - through;
    by_low += x[i] < low ? through : 0.0f;
    by_high += x[i] > high ? through : 0.0f;
    out[i] = x[i] < low || x[i] > high ? 0.0f : through;
  }
  // From step and zero point to the ends a, b of the range in use. Asymmetric: D = (b - a) / N, z = -a / D.
  float to_a = 0, to_b = 0;
  const auto levels = static_cast<float>(rule.steps);
  if (rule.symmetric) {
    // D = max(-a, b) / M.
    const float part = by_step / static_cast<float>(rule.steps / 2);
    const float a = rule.clamp ? range.low : range.low * static_cast<float>(clip_low);
    const float b = rule.clamp ? range.high : range.high * static_cast<float>(clip_high);
    if (rule.clamp && std::max(-a, b) < smallest_weight_range) {
      // the step is a constant
    } else if (-a > b) {
      to_a = -part;
    } else {
      to_b = part;
    }
  } else {
    const float a = rule.clamp ? range.low : range.low * static_cast<float>(clip_low);
    const float zero_part = -delta * by_zero;  // gradient of z
    const float step_part = by_step + zero_part * a / (delta * delta);
    to_a = -zero_part / delta - step_part / levels;
    to_b = step_part / levels;
  }
  ClipGradient clip;
  if (rule.clamp) {
    // The ends are clamped values where a limit lies inside the values, else the values themselves.
    const bool low_clamped = limits.low > e.low, high_clamped = limits.high < e.high;
    if (range.low < 0 && !low_clamped) out[e.low_at] += to_a;
    if (range.high > 0 && !high_clamped) out[e.high_at] += to_b;
    float at_low = by_low + (range.low < 0 && low_clamped ? to_a : 0.0f);
    float at_high = by_high + (range.high > 0 && high_clamped ? to_b : 0.0f);
    if (limits.crossed) {
      at_high += at_low;
      at_low = 0;
    }
    clip = {at_low * e.low, at_high * e.high};
    out[e.low_at] += at_low * static_cast<float>(clip_low);
    out[e.high_at] += at_high * static_cast<float>(clip_high);
  } else {
    clip = {to_a * range.low, to_b * range.high};
    if (e.low < 0) out[e.low_at] += to_a * static_cast<float>(clip_low);
    if (e.high > 0) out[e.high_at] += to_b * static_cast<float>(clip_high);
  }
  return clip;
}

}  // namespace stamp::training
