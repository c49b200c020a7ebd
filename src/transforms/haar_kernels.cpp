#include "transforms/haar_kernels.h"

#include <algorithm>

#include "transforms/rows.h"
#include "transforms/vector.h"

namespace stamp {
namespace {

using simd::Floats;

constexpr float half_root = 0.70710678118654752f;
constexpr int register_levels = 5;  // levels taken in one pass over a block of 32 rows

// One strip touches one cache line of each of 32 rows, a pattern the hardware does not prefetch.
constexpr std::int64_t prefetch_floats = 128;

// 2^{-levels/2}
constexpr float power(int levels) {
  float p = levels % 2 ? half_root : 1.0f;
  for (int i = 0; i < levels / 2; ++i) p *= 0.5f;
  return p;
}
// One strip, a vector of columns of 2^Level rows, depth first: a detail leaves for memory as soon as it is known, so
// that only one approximation a level is alive and nothing is spilled (all 32 rows at once were measured 40% slower).
// Unnormalised sums; every row is scaled once, when it is stored.
// The compiler may not move loads over this: it would fetch all 32 rows first and spill them.
[[gnu::always_inline]] inline void keep_order() {
  asm volatile("" ::: "memory");
}

template <int Level, typename Load>
[[gnu::always_inline]] inline Floats down(Load load, std::int64_t row, float* t, std::int64_t stride) {
  if constexpr (Level == 0) {
    return load(row);
  } else {
    constexpr std::int64_t half = std::int64_t{1} << (Level - 1);
    const Floats a = down<Level - 1>(load, row, t, stride), b = down<Level - 1>(load, row + half, t, stride);
    simd::store(t + (row + half) * stride, (a - b) * simd::broadcast(power(Level)));
    keep_order();
    return a + b;
  }
}

template <int Level, typename Store>
[[gnu::always_inline]] inline void up(Store keep, std::int64_t row, Floats a, const float* t, std::int64_t stride) {
  if constexpr (Level == 0) {
    keep(row, a);
    keep_order();
  } else {
    constexpr std::int64_t half = std::int64_t{1} << (Level - 1);
    const Floats d = simd::load(t + (row + half) * stride), scale = simd::broadcast(power(Level));
    up<Level - 1>(keep, row, simd::fma(d, scale, a), t, stride);
    up<Level - 1>(keep, row + half, simd::fnma(d, scale, a), t, stride);
  }
}

template <int J>
void forward_full(ConstMatrixView x, MatrixView t) {
  const Floats scale = simd::broadcast(power(J));
  std::int64_t c = 0;
  for (; c + simd::width <= x.cols; c += simd::width) {
    const float* from = x.data + c;
    const auto load = [from, &x](std::int64_t i) {
      __builtin_prefetch(from + i * x.stride + prefetch_floats);
      return simd::load(from + i * x.stride);
    };
    simd::store(t.data + c, down<J>(load, 0, t.data + c, t.stride) * scale);
  }
  if (c == x.cols) return;
  const auto load = [&](std::int64_t i) { return simd::load_part(x.row(i) + c, x.cols - c); };
  simd::store(t.data + c, down<J>(load, 0, t.data + c, t.stride) * scale);
}

template <int J, bool Stream>
void inverse_full(ConstMatrixView t, MatrixView out) {
  const Floats scale = simd::broadcast(power(J));
  std::int64_t c = 0;
  for (; c + simd::width <= out.cols; c += simd::width) {
    float* to = out.data + c;
    const auto keep = [to, &out](std::int64_t i, Floats v) {
      if constexpr (Stream)
        simd::stream(to + i * out.stride, v);
      else
        simd::store(to + i * out.stride, v);
    };
    up<J>(keep, 0, simd::load(t.data + c) * scale, t.data + c, t.stride);
  }
  if (c == out.cols) return;
  const auto keep = [&](std::int64_t i, Floats v) { simd::store_part(out.row(i) + c, v, out.cols - c); };
  up<J>(keep, 0, simd::load(t.data + c) * scale, t.data + c, t.stride);
}

// Sum and difference over sqrt 2: its own inverse, so both directions use it.
void butterfly_rows(float* a, float* b, std::int64_t columns) {
  const Floats c = simd::broadcast(half_root);
  for (std::int64_t i = 0; i < columns; i += simd::width) {
    const Floats p = simd::load(a + i), q = simd::load(b + i);
    simd::store(a + i, (p + q) * c);
    simd::store(b + i, (p - q) * c);
  }
}

void level_in_place(MatrixView t, std::int64_t begin, int level) {
  const std::int64_t step = std::int64_t{1} << level, columns = simd::padded(t.cols);
  for (std::int64_t p = begin; p + step < t.rows; p += 2 * step) butterfly_rows(t.row(p), t.row(p + step), columns);
}

void forward_group(ConstMatrixView x, int levels, MatrixView t) {
  switch (levels) {
    case 1: return forward_full<1>(x, t);
    case 2: return forward_full<2>(x, t);
    case 3: return forward_full<3>(x, t);
    case 4: return forward_full<4>(x, t);
    default: return forward_full<5>(x, t);
  }
}

template <bool Stream>
void inverse_group(ConstMatrixView t, int levels, MatrixView out) {
  switch (levels) {
    case 1: return inverse_full<1, Stream>(t, out);
    case 2: return inverse_full<2, Stream>(t, out);
    case 3: return inverse_full<3, Stream>(t, out);
    case 4: return inverse_full<4, Stream>(t, out);
    default: return inverse_full<5, Stream>(t, out);
  }
}

}  // namespace

void haar_forward(ConstMatrixView x, int levels, MatrixView t) {
  if (levels == 0) return copy_rows_padded(x, t);
  const int low = std::min(levels, register_levels);
  const std::int64_t group = std::int64_t{1} << low, whole = x.rows / group * group;
  for (std::int64_t p = 0; p < whole; p += group)
    forward_group({x.row(p), group, x.cols, x.stride}, low, {t.row(p), group, x.cols, t.stride});
  if (whole < x.rows) {
    copy_rows_padded({x.row(whole), x.rows - whole, x.cols, x.stride},
                     {t.row(whole), x.rows - whole, x.cols, t.stride});
    for (int level = 0; level < low; ++level) level_in_place({t.data, x.rows, x.cols, t.stride}, whole, level);
  }
  for (int level = low; level < levels; ++level) level_in_place({t.data, x.rows, x.cols, t.stride}, 0, level);
}

void haar_inverse(MatrixView t, int levels, MatrixView out, bool stream) {
  if (levels == 0) return copy_rows_out(t, out, stream);
  const int low = std::min(levels, register_levels);
  const std::int64_t group = std::int64_t{1} << low, whole = out.rows / group * group;
  const MatrixView rows{t.data, out.rows, out.cols, t.stride};
  for (int level = levels - 1; level >= low; --level) level_in_place(rows, 0, level);
  for (std::int64_t p = 0; p < whole; p += group) {
    const ConstMatrixView from{t.row(p), group, out.cols, t.stride};
    const MatrixView to{out.row(p), group, out.cols, out.stride};
    stream ? inverse_group<true>(from, low, to) : inverse_group<false>(from, low, to);
  }
  if (whole == out.rows) return;
  for (int level = low - 1; level >= 0; --level) level_in_place(rows, whole, level);
  copy_rows_out({t.row(whole), out.rows - whole, out.cols, t.stride},
                {out.row(whole), out.rows - whole, out.cols, out.stride}, stream);
}

}  // namespace stamp
