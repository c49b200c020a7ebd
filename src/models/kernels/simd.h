// base/vector_width.h's vectors with what a transformer block needs of them, by GCC's vector extensions. Files that
// include this are compiled with -ffp-contract=fast (a * b + c is one rounding).
#pragma once
#include <cstdint>
#include <cstring>

#include "base/vector_width.h"

namespace stamp::simd {

using V = Floats;
using VI = Ints;

inline V load(const float* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, V v) {
  std::memcpy(p, &v, sizeof v);
}
inline V splat(float x) {
  return V{} + x;
}
inline V select(VI mask, V a, V b) {
  return mask ? a : b;
}
inline V maximum(V a, V b) {
  return a > b ? a : b;
}
inline VI lane_index() {
  return lane_numbers;
}
inline VI splat_int(std::int32_t x) {
  return VI{} + x;
}
// The first `count` lanes, at least one; the others are `fill`.
inline V load_part(const float* p, std::int64_t count, float fill) {
  V v = splat(fill);
  std::memcpy(&v, p, static_cast<std::size_t>(count) * sizeof(float));
  return v;
}
inline void store_part(float* p, std::int64_t count, V v) {
  std::memcpy(p, &v, static_cast<std::size_t>(count) * sizeof(float));
}

inline float sum(V v) {
  float s = 0;
  for (auto i = static_cast<std::int32_t>(width / 2); i >= 1; i /= 2) {
    const VI shuffled = lane_index() ^ splat_int(i);
    v += __builtin_shuffle(v, shuffled);
  }
  s = v[0];
  return s;
}
inline float largest(V v) {
  for (auto i = static_cast<std::int32_t>(width / 2); i >= 1; i /= 2) {
    const VI shuffled = lane_index() ^ splat_int(i);
    v = maximum(v, __builtin_shuffle(v, shuffled));
  }
  return v[0];
}

// 2^x for x <= 127; below -126 it stays at 2^-126. Relative error below 2e-7 (tests/unit/models). NaN stays NaN.
// Adding 1.5 * 2^23 rounds to an integer in the low mantissa bits, which then move into the exponent.
inline V exp2(V x) {
  const V low = splat(-126.0f);
  x = x < low ? low : x;
  const V magic = splat(12582912.0f);
  const V shifted = x + magic;
  const V f = x - (shifted - magic);  // [-1/2, 1/2]
  // Minimax polynomial of 2^f with p(0) = 1, degree 5: 9e-8 in exact arithmetic.
  V p = splat(0x1.5bba14p-10f);
  p = p * f + splat(0x1.3cea88p-7f);
  p = p * f + splat(0x1.c6b752p-5f);
  p = p * f + splat(0x1.ebf9bcp-3f);
  p = p * f + splat(0x1.62e42ap-1f);
  p = p * f + splat(1.0f);
  VI bits, exponent;
  std::memcpy(&bits, &p, sizeof p);
  std::memcpy(&exponent, &shifted, sizeof exponent);
  bits += exponent << 23;
  V out;
  std::memcpy(&out, &bits, sizeof out);
  return out;
}
constexpr float log2_e = 1.44269504088896340736f;
inline V exp(V x) {
  return exp2(x * splat(log2_e));
}

// Relative error below 4e-7 (tests/unit/models). NaN stays NaN.
inline V tanh(V x) {
  // Near zero 1 - 2 / (e^2x + 1) cancels; tanh(x) / x = 1 + z p(z), z = x^2, is minimax on |x| <= 0.64: 6e-9 exactly.
  const V z = x * x;
  V p = splat(-0x1.6e69b0p-8f);
  p = p * z + splat(0x1.50820ep-6f);
  p = p * z + splat(-0x1.b7fd50p-5f);
  p = p * z + splat(0x1.110552p-3f);
  p = p * z + splat(-0x1.55552ap-2f);
  const V near = x + x * (z * p);
  // Beyond 20 it is 1 to the last bit, and e^2x would leave exp2's range.
  const V size = x < V{} ? -x : x;
  const V far =
      splat(1.0f) - splat(2.0f) / (exp(splat(2.0f) * (size > splat(20.0f) ? splat(20.0f) : size)) + splat(1.0f));
  return size > splat(0.625f) ? (x < V{} ? -far : far) : near;
}

}  // namespace stamp::simd
