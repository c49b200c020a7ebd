// simd::width floats as one value (base/vector_width.h), so kernels are written once; only operations without an
// operator use intrinsics.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#include "base/vector_width.h"

// Every function below is inlined, so the calling convention of wide vectors never matters.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpsabi"

namespace stamp::simd {

inline std::int64_t padded(std::int64_t n) {
  return (n + width - 1) / width * width;
}

[[gnu::always_inline]] inline Floats broadcast(float v) {
  return Floats{} + v;
}
[[gnu::always_inline]] inline Floats load(const float* p) {
  Floats v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
[[gnu::always_inline]] inline void store(float* p, Floats v) {
  std::memcpy(p, &v, sizeof v);
}
// The first n lanes; the others are zero.
[[gnu::always_inline]] inline Floats load_part(const float* p, std::int64_t n) {
  Floats v{};
  std::memcpy(&v, p, static_cast<std::size_t>(n) * sizeof(float));
  return v;
}
[[gnu::always_inline]] inline void store_part(float* p, Floats v, std::int64_t n) {
  std::memcpy(p, &v, static_cast<std::size_t>(n) * sizeof(float));
}

#if defined(__AVX512F__)
// The masked intrinsics compile to the same instructions; the plain ones warn falsely about an uninitialized operand
// in g++ 12.
inline constexpr __mmask16 all_lanes = 0xffff;
#endif

// a * b + c, fused where the processor has it.
[[gnu::always_inline]] inline Floats fma(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__)
  return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__) && defined(__FMA__)
  return (Floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}
[[gnu::always_inline]] inline Floats fnma(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__)
  return (Floats)_mm512_fnmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__) && defined(__FMA__)
  return (Floats)_mm256_fnmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return c - a * b;
#endif
}
[[gnu::always_inline]] inline Floats min(Floats a, Floats b) {
#if defined(__AVX512F__)
  return (Floats)_mm512_maskz_min_ps(all_lanes, (__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (Floats)_mm256_min_ps((__m256)a, (__m256)b);
#else
  return a < b ? a : b;
#endif
}
[[gnu::always_inline]] inline Floats max(Floats a, Floats b) {
#if defined(__AVX512F__)
  return (Floats)_mm512_maskz_max_ps(all_lanes, (__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (Floats)_mm256_max_ps((__m256)a, (__m256)b);
#else
  return a > b ? a : b;
#endif
}
// Half to even; |v| < 2^22 (without AVX2 the constant pushes the fraction out of the mantissa).
[[gnu::always_inline]] inline Floats round_even(Floats v) {
#if defined(__AVX512F__)
  return (Floats)_mm512_maskz_roundscale_ps(all_lanes, (__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(__AVX2__)
  return (Floats)_mm256_round_ps((__m256)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  const Floats big = broadcast(12582912.0f);
  return (v + big) - big;
#endif
}
// Writes around the caches; p is 64-byte aligned. Ends with stream_fence() before other threads read.
[[gnu::always_inline]] inline void stream(float* p, Floats v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, (__m512)v);
#elif defined(__AVX2__)
  _mm256_stream_ps(p, (__m256)v);
#else
  store(p, v);
#endif
}
inline void stream_fence() {
#if defined(__AVX512F__) || defined(__AVX2__)
  _mm_sfence();
#endif
}
[[gnu::always_inline]] inline float sum(Floats v) {
  float total[width];
  std::memcpy(total, &v, sizeof v);
  for (std::int64_t n = width / 2; n > 0; n /= 2)
    for (std::int64_t i = 0; i < n; ++i) total[i] += total[i + n];
  return total[0];
}
[[gnu::always_inline]] inline float smallest(Floats v) {
  float all[width];
  std::memcpy(all, &v, sizeof v);
  for (std::int64_t n = width / 2; n > 0; n /= 2)
    for (std::int64_t i = 0; i < n; ++i) all[i] = all[i + n] < all[i] ? all[i + n] : all[i];
  return all[0];
}
[[gnu::always_inline]] inline float largest(Floats v) {
  float all[width];
  std::memcpy(all, &v, sizeof v);
  for (std::int64_t n = width / 2; n > 0; n /= 2)
    for (std::int64_t i = 0; i < n; ++i) all[i] = all[i + n] > all[i] ? all[i + n] : all[i];
  return all[0];
}

}  // namespace stamp::simd
#pragma GCC diagnostic pop
