#include "transforms/haar_kernels.h"

#include <algorithm>

#include "transforms/rows.h"
#include "transforms/vector.h"

namespace stamp {
namespace {

using simd::Floats;

constexpr float half_root = 0.70710678118654752f;
constexpr int register_levels = 5;  // 2^5 rows x 16 columns fill the 32 vector registers of AVX-512

// 2^{-levels/2}
constexpr float power(int levels) {
  float p = levels % 2 ? half_root : 1.0f;
  for (int i = 0; i < levels / 2; ++i) p *= 0.5f;
  return p;
}
// Levels that row i of a block of 2^J rows takes part in.
constexpr int depth(int i, int J) {
  int level = 0;
  while (level < J && (i >> level) % 2 == 0) ++level;
  return std::min(J, level + 1);
}

// One strip of 16 columns, all J levels in registers; unnormalised sums, one multiplication a row at the end.
template <int J>
[[gnu::always_inline]] inline void butterflies_down(Floats (&r)[1 << J]) {
#pragma GCC unroll 8
  for (int level = 0; level < J; ++level)
#pragma GCC unroll 32
    for (int i = 0; i < (1 << J); i += 2 << level) {
      const Floats a = r[i], b = r[i + (1 << level)];
      r[i] = a + b;
      r[i + (1 << level)] = a - b;
    }
#pragma GCC unroll 32
  for (int i = 0; i < (1 << J); ++i) r[i] *= simd::broadcast(power(depth(i, J)));
}

template <int J>
[[gnu::always_inline]] inline void butterflies_up(Floats (&r)[1 << J]) {
#pragma GCC unroll 32
  for (int i = 0; i < (1 << J); ++i) r[i] *= simd::broadcast(power(depth(i, J)));
#pragma GCC unroll 8
  for (int level = J - 1; level >= 0; --level)
#pragma GCC unroll 32
    for (int i = 0; i < (1 << J); i += 2 << level) {
      const Floats a = r[i], d = r[i + (1 << level)];
      r[i] = a + d;
      r[i + (1 << level)] = a - d;
    }
}

template <int J>
void forward_full(ConstMatrixView x, MatrixView t) {
  const std::int64_t whole = x.cols / simd::width * simd::width;
  Floats r[1 << J];
  for (std::int64_t c = 0; c < whole; c += simd::width) {
#pragma GCC unroll 32
    for (int i = 0; i < (1 << J); ++i) r[i] = simd::load(x.row(i) + c);
    butterflies_down<J>(r);
#pragma GCC unroll 32
    for (int i = 0; i < (1 << J); ++i) simd::store(t.row(i) + c, r[i]);
  }
  if (whole == x.cols) return;
  for (int i = 0; i < (1 << J); ++i) r[i] = simd::load_part(x.row(i) + whole, x.cols - whole);
  butterflies_down<J>(r);
  for (int i = 0; i < (1 << J); ++i) simd::store(t.row(i) + whole, r[i]);
}

template <int J, bool Stream>
void inverse_full(ConstMatrixView t, MatrixView out) {
  const std::int64_t whole = out.cols / simd::width * simd::width;
  Floats r[1 << J];
  for (std::int64_t c = 0; c < whole; c += simd::width) {
#pragma GCC unroll 32
    for (int i = 0; i < (1 << J); ++i) r[i] = simd::load(t.row(i) + c);
    butterflies_up<J>(r);
#pragma GCC unroll 32
    for (int i = 0; i < (1 << J); ++i) {
      if constexpr (Stream)
        simd::stream(out.row(i) + c, r[i]);
      else
        simd::store(out.row(i) + c, r[i]);
    }
  }
  if (whole == out.cols) return;
  for (int i = 0; i < (1 << J); ++i) r[i] = simd::load(t.row(i) + whole);
  butterflies_up<J>(r);
  for (int i = 0; i < (1 << J); ++i) simd::store_part(out.row(i) + whole, r[i], out.cols - whole);
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
    copy_rows_padded({x.row(whole), x.rows - whole, x.cols, x.stride}, {t.row(whole), x.rows - whole, x.cols, t.stride});
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
