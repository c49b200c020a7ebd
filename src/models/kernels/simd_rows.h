// Activations on vectors of simd.h, and walks over rows whose length is no multiple of a vector's.
#pragma once
#include "models/kernels/simd.h"

namespace stamp::simd {

// Calls step(offset, vector loader and storer) for whole vectors, then for the rest of a row of n floats.
template <class Whole, class Part>
inline void over_row(std::int64_t n, Whole&& whole, Part&& part) {
  std::int64_t j = 0;
  for (; j + width <= n; j += width) whole(j);
  if (j < n) part(j, n - j);
}

// exp overflows for strongly negative gates; the limit leaves silu below 1e-36 there.
inline V silu(V x) {
  const V limit = splat(87.0f);
  const V negated = -x;
  return x / (splat(1.0f) + exp(negated > limit ? limit : negated));
}

// 0.5 (1 + tanh(u)) = 1 / (1 + e^-2u): without the cancellation for negative x.
inline V gelu_tanh(V x) {
  constexpr float twice_sqrt_2_over_pi = 1.59576912160573071176f;
  const V u = x * splat(twice_sqrt_2_over_pi) * (x * x * splat(0.044715f) + splat(1.0f));
  const V limit = splat(87.0f);
  const V negated = -u;
  return x / (splat(1.0f) + exp(negated > limit ? limit : negated));
}

}  // namespace stamp::simd
