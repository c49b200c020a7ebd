#include "models/kernels/elementwise.h"

#include <cassert>
#include <cmath>

#include "models/kernels/simd_rows.h"

namespace stamp {
namespace {

using simd::gelu_tanh;
using simd::over_row;
using simd::silu;
using simd::V;

inline float root_mean_square_inverse(const float* x, std::int64_t n, float eps) {
  V squares{};
  over_row(
      n,
      [&](std::int64_t j) {
        const V v = simd::load(x + j);
        squares += v * v;
      },
      [&](std::int64_t j, std::int64_t count) {
        const V v = simd::load_part(x + j, count, 0);
        squares += v * v;
      });
  return 1.0f / std::sqrt(simd::sum(squares) / static_cast<float>(n) + eps);
}

inline void scale_row(const float* x, const float* weight, float factor, std::int64_t n, float* out) {
  const V f = simd::splat(factor);
  over_row(
      n, [&](std::int64_t j) { simd::store(out + j, simd::load(x + j) * f * simd::load(weight + j)); },
      [&](std::int64_t j, std::int64_t count) {
        simd::store_part(out + j, count, simd::load_part(x + j, count, 0) * f * simd::load_part(weight + j, count, 0));
      });
}

inline void add_row(float* x, const float* y, std::int64_t n) {
  over_row(
      n, [&](std::int64_t j) { simd::store(x + j, simd::load(x + j) + simd::load(y + j)); },
      [&](std::int64_t j, std::int64_t count) {
        simd::store_part(x + j, count, simd::load_part(x + j, count, 0) + simd::load_part(y + j, count, 0));
      });
}

// Calls op(vector of gate, vector of up) for every row and stores what it gives into gate.
template <class Op>
void combine(MatrixView gate, ConstMatrixView up, Op&& op) {
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < gate.rows; ++i) {
    float* g = gate.row(i);
    const float* u = up.row(i);
    over_row(
        gate.cols, [&](std::int64_t j) { simd::store(g + j, op(simd::load(g + j), simd::load(u + j))); },
        [&](std::int64_t j, std::int64_t count) {
          simd::store_part(g + j, count, op(simd::load_part(g + j, count, 0), simd::load_part(u + j, count, 0)));
        });
  }
}

}  // namespace

void rms_norm(ConstMatrixView x, const float* weight, float eps, MatrixView out) {
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < x.rows; ++i)
    scale_row(x.row(i), weight, root_mean_square_inverse(x.row(i), x.cols, eps), x.cols, out.row(i));
}

void add_rms_norm(MatrixView x, ConstMatrixView y, const float* weight, float eps, MatrixView out) {
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < x.rows; ++i) {
    add_row(x.row(i), y.row(i), x.cols);
    scale_row(x.row(i), weight, root_mean_square_inverse(x.row(i), x.cols, eps), x.cols, out.row(i));
  }
}

void add(MatrixView x, ConstMatrixView y) {
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < x.rows; ++i) add_row(x.row(i), y.row(i), x.cols);
}

RopeTable rope_table(std::int64_t positions, const std::vector<float>& frequencies) {
  RopeTable table;
  table.half = static_cast<std::int64_t>(frequencies.size());
  const auto entries = static_cast<std::size_t>(positions * table.half);
  table.cosines.resize(entries);
  table.sines.resize(entries);
#pragma omp parallel for schedule(static)
  for (std::int64_t p = 0; p < positions; ++p)
    for (std::int64_t i = 0; i < table.half; ++i) {
      // The product is rounded to float32 as in the references; its cosine is then exact.
      const float angle = static_cast<float>(p) * frequencies[static_cast<std::size_t>(i)];
      const auto at = static_cast<std::size_t>(p * table.half + i);
      table.cosines[at] = static_cast<float>(std::cos(static_cast<double>(angle)));
      table.sines[at] = static_cast<float>(std::sin(static_cast<double>(angle)));
    }
  return table;
}

void apply_rope(MatrixView x, const RopeTable& table, std::int64_t first) {
  const std::int64_t half = table.half, heads = x.cols / (2 * half);
  assert(x.cols == heads * 2 * half && (first + x.rows) * half <= static_cast<std::int64_t>(table.cosines.size()));
#pragma omp parallel for schedule(static)
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const float* cosines = table.cosines.data() + (first + r) * half;
    const float* sines = table.sines.data() + (first + r) * half;
    for (std::int64_t h = 0; h < heads; ++h) {
      float* low = x.row(r) + h * 2 * half;
      float* high = low + half;
      for (std::int64_t i = 0; i < half; ++i) {
        const float a = low[i], b = high[i];
        low[i] = a * cosines[i] - b * sines[i];
        high[i] = b * cosines[i] + a * sines[i];
      }
    }
  }
}

void silu_multiply(MatrixView gate, ConstMatrixView up) {
  combine(gate, up, [](V g, V u) { return silu(g) * u; });
}

void gelu_tanh_multiply(MatrixView gate, ConstMatrixView up) {
  combine(gate, up, [](V g, V u) { return gelu_tanh(g) * u; });
}

void soft_cap(MatrixView x, float cap) {
  const V limit = simd::splat(cap), inverse = simd::splat(1.0f / cap);
  combine(x, x, [&](V v, V) { return simd::tanh(v * inverse) * limit; });
}

void scale_by(MatrixView x, float factor) {
  const V f = simd::splat(factor);
  combine(x, x, [&](V v, V) { return v * f; });
}

}  // namespace stamp
