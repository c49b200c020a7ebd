// How many floats the processor that this is compiled for adds at once. GCC lowers wider vectors to memory and single
// values (attention was measured some 20 times slower that way, beside other work), so kernels are written for any
// width and take this one.
#pragma once
#include <cstdint>

namespace stamp::simd {

#if defined(__AVX512F__)
inline constexpr std::int64_t width = 16;
#elif defined(__AVX2__)
inline constexpr std::int64_t width = 8;
#else
inline constexpr std::int64_t width = 4;
#endif
using Floats = float __attribute__((vector_size(width * sizeof(float))));
using Ints = std::int32_t __attribute__((vector_size(width * sizeof(std::int32_t))));

// 0, 1, 2, ...
#if defined(__AVX512F__)
inline constexpr Ints lane_numbers{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#elif defined(__AVX2__)
inline constexpr Ints lane_numbers{0, 1, 2, 3, 4, 5, 6, 7};
#else
inline constexpr Ints lane_numbers{0, 1, 2, 3};
#endif

}  // namespace stamp::simd
