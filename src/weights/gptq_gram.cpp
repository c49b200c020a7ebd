#include "weights/gptq_gram.h"

#include <algorithm>
#include <utility>

#include "transforms/vector.h"

namespace stamp {
namespace {

using simd::Floats;

// A panel is `depth` rows of `panel` neighbouring columns, stored together. The inner loop multiplies `strip` columns
// of one panel with all of another: 8 x 3 registers of sums, 3 of values and one of a broadcast fit the 32 of AVX-512,
// 4 x 3 the 16 of AVX2, and both panels (48 KB at most each) fit the second-level cache.
constexpr std::int64_t panel = 3 * simd::width, strip = simd::width == 16 ? 8 : 4, depth = 256;

// sums[a][b] = sum over t of left[t][a] right[t][b], a < strip, b < panel.
void multiply_strip(const float* left, const float* right, std::int64_t rows, float* sums) {
  Floats acc[strip][3]{};
  for (std::int64_t t = 0; t < rows; ++t) {
    const Floats r0 = simd::load(right + t * panel), r1 = simd::load(right + t * panel + simd::width),
                 r2 = simd::load(right + t * panel + 2 * simd::width);
#pragma GCC unroll 8
    for (int a = 0; a < strip; ++a) {
      const Floats l = simd::broadcast(left[t * panel + a]);
      acc[a][0] = simd::fma(l, r0, acc[a][0]);
      acc[a][1] = simd::fma(l, r1, acc[a][1]);
      acc[a][2] = simd::fma(l, r2, acc[a][2]);
    }
  }
#pragma GCC unroll 8
  for (int a = 0; a < strip; ++a)
    for (int b = 0; b < 3; ++b) simd::store(sums + a * panel + b * simd::width, acc[a][b]);
}

}  // namespace

GramMatrix::GramMatrix(std::int64_t size) : size_(size), sums_(static_cast<std::size_t>(size * size), 0.0) {}

void GramMatrix::add(ConstMatrixView x) {
  const std::int64_t d = size_, panels = (d + panel - 1) / panel, pairs = panels * (panels + 1) / 2;
  panels_.resize(static_cast<std::size_t>(panels * panel * depth), 0.0f);  // columns past d stay zero
  // Pair p of the upper triangle, row by row.
  std::vector<std::pair<std::int64_t, std::int64_t>> order;
  order.reserve(static_cast<std::size_t>(pairs));
  for (std::int64_t i = 0; i < panels; ++i)
    for (std::int64_t j = i; j < panels; ++j) order.emplace_back(i, j);
#pragma omp parallel
  for (std::int64_t begin = 0; begin < x.rows; begin += depth) {
    const std::int64_t rows = std::min(depth, x.rows - begin);
#pragma omp for schedule(static)
    for (std::int64_t p = 0; p < panels; ++p) {
      const std::int64_t width = std::min(panel, d - p * panel);
      float* to = panels_.data() + p * panel * depth;
      for (std::int64_t t = 0; t < rows; ++t) std::copy_n(x.row(begin + t) + p * panel, width, to + t * panel);
    }
#pragma omp for schedule(dynamic, 4)
    for (std::int64_t n = 0; n < pairs; ++n) {
      const auto [i, j] = order[static_cast<std::size_t>(n)];
      const float* left = panels_.data() + i * panel * depth;
      const float* right = panels_.data() + j * panel * depth;
      const std::int64_t width = std::min(panel, d - j * panel);
      float sums[strip * panel];
      for (std::int64_t a = 0; a < panel && i * panel + a < d; a += strip) {
        multiply_strip(left + a, right, rows, sums);
        for (std::int64_t r = 0; r < std::min(strip, d - i * panel - a); ++r) {
          double* out = sums_.data() + (i * panel + a + r) * d + j * panel;
          for (std::int64_t c = 0; c < width; ++c) out[c] += static_cast<double>(sums[r * panel + c]);
        }
      }
    }
  }
  rows_ += x.rows;
}

std::vector<double> GramMatrix::take(double factor) {
  const std::int64_t d = size_;
  constexpr std::int64_t tile = 32;  // the mirrored half is read down columns
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t i0 = 0; i0 < d; i0 += tile)
    for (std::int64_t j0 = 0; j0 <= i0; j0 += tile)
      for (std::int64_t i = i0; i < std::min(i0 + tile, d); ++i)
        for (std::int64_t j = j0; j < std::min(j0 + tile, i); ++j)
          sums_[static_cast<std::size_t>(i * d + j)] = sums_[static_cast<std::size_t>(j * d + i)];
  for (double& v : sums_) v *= factor;
  rows_ = 0;
  return std::exchange(sums_, {});
}

}  // namespace stamp
