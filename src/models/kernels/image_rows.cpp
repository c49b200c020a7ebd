#include "models/kernels/image_rows.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "models/kernels/simd_rows.h"

namespace stamp {
namespace {

using simd::over_row;
using simd::V;

// Sum of op(x_j) over a row; lanes beyond its end do not count.
template <class Op>
float row_sum(const float* x, std::int64_t n, Op&& op) {
  V total{};
  over_row(
      n, [&](std::int64_t j) { total += op(simd::load(x + j)); },
      [&](std::int64_t j, std::int64_t count) {
        V part{};
        simd::store_part(reinterpret_cast<float*>(&part), count, op(simd::load_part(x + j, count, 0)));
        total += part;
      });
  return simd::sum(total);
}

template <class Op>
void change(MatrixView x, Op&& op) {
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < x.rows; ++i) {
    float* row = x.row(i);
    over_row(
        x.cols, [&](std::int64_t j) { simd::store(row + j, op(simd::load(row + j))); },
        [&](std::int64_t j, std::int64_t count) {
          simd::store_part(row + j, count, op(simd::load_part(row + j, count, 0)));
        });
  }
}

void modulate_row(const float* x, float mean, float inverse, const float* shift, const float* factor, std::int64_t n,
                  float* out) {
  const V m = simd::splat(mean), f = simd::splat(inverse);
  over_row(
      n,
      [&](std::int64_t j) {
        const V z = (simd::load(x + j) - m) * f;
        simd::store(out + j, z * simd::load(factor + j) + simd::load(shift + j));
      },
      [&](std::int64_t j, std::int64_t count) {
        const V z = (simd::load_part(x + j, count, 0) - m) * f;
        simd::store_part(out + j, count,
                         z * simd::load_part(factor + j, count, 0) + simd::load_part(shift + j, count, 0));
      });
}

// Two passes, as the references: the difference of squares would cancel on rows far from zero.
void norm_row(const float* x, const float* shift, const float* factor, float eps, std::int64_t n, float* out) {
  const float mean = row_sum(x, n, [](V v) { return v; }) / static_cast<float>(n);
  const V m = simd::splat(mean);
  const float variance = row_sum(x, n, [&](V v) { return (v - m) * (v - m); }) / static_cast<float>(n);
  modulate_row(x, mean, 1.0f / std::sqrt(variance + eps), shift, factor, n, out);
}

}  // namespace

void modulated_norm(ConstMatrixView x, const float* shift, const float* factor, float eps, MatrixView out) {
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < x.rows; ++i) norm_row(x.row(i), shift, factor, eps, x.cols, out.row(i));
}

void add_gated(MatrixView x, const float* gate, ConstMatrixView y) {
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < x.rows; ++i) {
    float* to = x.row(i);
    const float* from = y.row(i);
    over_row(
        x.cols,
        [&](std::int64_t j) { simd::store(to + j, simd::load(to + j) + simd::load(gate + j) * simd::load(from + j)); },
        [&](std::int64_t j, std::int64_t count) {
          simd::store_part(to + j, count,
                           simd::load_part(to + j, count, 0) +
                               simd::load_part(gate + j, count, 0) * simd::load_part(from + j, count, 0));
        });
  }
}

void silu(MatrixView x) {
  change(x, [](V v) { return simd::silu(v); });
}

void gelu_tanh(MatrixView x) {
  change(x, [](V v) { return simd::gelu_tanh(v); });
}

void linear_attention(ConstMatrixView q, ConstMatrixView k, ConstMatrixView v, std::int64_t head_dim, MatrixView out) {
  assert(q.cols % head_dim == 0 && k.rows == v.rows && q.cols == k.cols && q.cols == v.cols);
  const std::int64_t heads = q.cols / head_dim;
#pragma omp parallel
  {
    // Sums of k_m v_m^T and, in one more line, of k_m; then the row being made.
    std::vector<float> sums, keys, row;
#pragma omp for schedule(static)
    for (std::int64_t head = 0; head < heads; ++head) {
      const std::int64_t first = head * head_dim;
      sums.assign(static_cast<std::size_t>(head_dim * head_dim), 0.0f);
      keys.assign(static_cast<std::size_t>(head_dim), 0.0f);
      for (std::int64_t n = 0; n < k.rows; ++n) {
        const float* from_k = k.row(n) + first;
        const float* from_v = v.row(n) + first;
        for (std::int64_t i = 0; i < head_dim; ++i) {
          const float key = from_k[i] > 0 || std::isnan(from_k[i]) ? from_k[i] : 0.0f;
          keys[static_cast<std::size_t>(i)] += key;
          float* line = sums.data() + i * head_dim;
          for (std::int64_t j = 0; j < head_dim; ++j) line[j] += key * from_v[j];
        }
      }
      for (std::int64_t n = 0; n < q.rows; ++n) {
        const float* from = q.row(n) + first;
        row.assign(static_cast<std::size_t>(head_dim), 0.0f);
        float total = 0;
        for (std::int64_t i = 0; i < head_dim; ++i) {
          const float query = from[i] > 0 || std::isnan(from[i]) ? from[i] : 0.0f;
          total += query * keys[static_cast<std::size_t>(i)];
          const float* line = sums.data() + i * head_dim;
          for (std::int64_t j = 0; j < head_dim; ++j) row[static_cast<std::size_t>(j)] += query * line[j];
        }
        float* to = out.row(n) + first;
        for (std::int64_t j = 0; j < head_dim; ++j) to[j] = row[static_cast<std::size_t>(j)] / (total + 1e-15f);
      }
    }
  }
}

void depthwise_gate(ConstMatrixView u, std::int64_t grid_width, const float* weight, const float* bias,
                    MatrixView out) {
  assert(grid_width > 0 && u.rows % grid_width == 0 && u.cols == 2 * out.cols && u.rows == out.rows);
  const std::int64_t lines = u.rows / grid_width, channels = u.cols, half = out.cols;
#pragma omp parallel
  {
    std::vector<float> sums(static_cast<std::size_t>(channels));
#pragma omp for schedule(static)
    for (std::int64_t token = 0; token < u.rows; ++token) {
      const std::int64_t line = token / grid_width, column = token % grid_width;
      std::copy_n(bias, channels, sums.data());
      for (std::int64_t tap = 0; tap < 9; ++tap) {
        const std::int64_t l = line + tap / 3 - 1, c = column + tap % 3 - 1;
        if (l < 0 || l >= lines || c < 0 || c >= grid_width) continue;
        const float* from = u.row(l * grid_width + c);
        const float* w = weight + tap * channels;
        for (std::int64_t j = 0; j < channels; ++j) sums[static_cast<std::size_t>(j)] += w[j] * from[j];
      }
      const float *a = sums.data(), *gate = sums.data() + half;
      float* to = out.row(token);
      over_row(
          half, [&](std::int64_t j) { simd::store(to + j, simd::load(a + j) * simd::silu(simd::load(gate + j))); },
          [&](std::int64_t j, std::int64_t count) {
            const V g = simd::silu(simd::load_part(gate + j, count, 0));
            simd::store_part(to + j, count, simd::load_part(a + j, count, 0) * g);
          });
    }
  }
}

std::vector<float> number_sinusoid(float t, std::int64_t channels, double shift) {
  const std::int64_t half = channels / 2;
  std::vector<float> out(static_cast<std::size_t>(channels));
  for (std::int64_t i = 0; i < half; ++i) {
    // Exponent, frequency and angle are rounded to float32 as in the references; what is made of the angle is exact.
    const float exponent = static_cast<float>(-std::log(10000.0)) * static_cast<float>(i) /
                           static_cast<float>(static_cast<double>(half) - shift);
    const float angle = t * std::exp(exponent);
    out[static_cast<std::size_t>(i)] = static_cast<float>(std::cos(static_cast<double>(angle)));
    out[static_cast<std::size_t>(half + i)] = static_cast<float>(std::sin(static_cast<double>(angle)));
  }
  return out;
}

std::vector<float> position_table(std::int64_t width, std::int64_t rows, std::int64_t columns, std::int64_t base,
                                  double scale) {
  const std::int64_t quarter = width / 4;
  std::vector<double> frequencies(static_cast<std::size_t>(quarter));
  for (std::int64_t k = 0; k < quarter; ++k)
    frequencies[static_cast<std::size_t>(k)] =
        std::pow(10000.0, -static_cast<double>(k) / static_cast<double>(quarter));
  const auto coordinate = [&](std::int64_t at, std::int64_t of) {
    const auto span = static_cast<float>(static_cast<double>(of) / static_cast<double>(base));
    return static_cast<double>(static_cast<float>(at) / span / static_cast<float>(scale));
  };
  std::vector<float> out(static_cast<std::size_t>(rows * columns * width));
#pragma omp parallel for schedule(static)
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t column = 0; column < columns; ++column) {
      float* to = out.data() + (row * columns + column) * width;
      const double places[2] = {coordinate(column, columns), coordinate(row, rows)};
      for (const double place : places) {
        for (std::int64_t k = 0; k < quarter; ++k) {
          const double angle = place * frequencies[static_cast<std::size_t>(k)];
          to[k] = static_cast<float>(std::sin(angle));
          to[quarter + k] = static_cast<float>(std::cos(angle));
        }
        to += 2 * quarter;
      }
    }
  return out;
}

void cut_patches(const float* image, std::int64_t channels, std::int64_t height, std::int64_t width, std::int64_t patch,
                 MatrixView out) {
  const std::int64_t columns = width / patch;
  assert(out.rows == height / patch * columns && out.cols == channels * patch * patch);
#pragma omp parallel for schedule(static)
  for (std::int64_t token = 0; token < out.rows; ++token) {
    float* to = out.row(token);
    const std::int64_t top = token / columns * patch, left = token % columns * patch;
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t y = 0; y < patch; ++y, to += patch)
        std::copy_n(image + (c * height + top + y) * width + left, patch, to);
  }
}

void join_patches(ConstMatrixView rows, std::int64_t channels, std::int64_t height, std::int64_t width,
                  std::int64_t patch, float* image) {
  const std::int64_t columns = width / patch;
  assert(rows.rows == height / patch * columns && rows.cols == channels * patch * patch);
#pragma omp parallel for schedule(static)
  for (std::int64_t token = 0; token < rows.rows; ++token) {
    const float* from = rows.row(token);
    const std::int64_t top = token / columns * patch, left = token % columns * patch;
    for (std::int64_t y = 0; y < patch; ++y)
      for (std::int64_t x = 0; x < patch; ++x)
        for (std::int64_t c = 0; c < channels; ++c, ++from) image[(c * height + top + y) * width + left + x] = *from;
  }
}

}  // namespace stamp
