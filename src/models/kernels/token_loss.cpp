#include "models/kernels/token_loss.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "models/kernels/simd.h"

namespace stamp {
namespace {

using simd::V;

// -inf lanes fill up the last vector: they neither raise the maximum nor add to the sum (2^-126 at most, 16 of them).
constexpr float nothing = -std::numeric_limits<float>::infinity();

float row_maximum(const float* x, std::int64_t n) {
  V top = simd::splat(nothing);
  std::int64_t j = 0;
  for (; j + simd::width <= n; j += simd::width) top = simd::maximum(simd::load(x + j), top);
  if (j < n) top = simd::maximum(simd::load_part(x + j, n - j, nothing), top);
  return simd::largest(top);
}

double sum_of_exponentials(const float* x, std::int64_t n, float shift) {
  // Vector sums of 1024 values before each addition in double: their float32 rounding stays near 1e-7 relative.
  constexpr std::int64_t stretch = 64 * simd::width;
  const V minus = simd::splat(shift * simd::log2_e), scale = simd::splat(simd::log2_e);
  double total = 0;
  for (std::int64_t first = 0; first < n; first += stretch) {
    const std::int64_t last = std::min(n, first + stretch);
    V sum{};
    std::int64_t j = first;
    for (; j + simd::width <= last; j += simd::width) sum += simd::exp2(simd::load(x + j) * scale - minus);
    if (j < last) sum += simd::exp2(simd::load_part(x + j, last - j, nothing) * scale - minus);
    total += static_cast<double>(simd::sum(sum));
  }
  return total;
}

}  // namespace

void token_losses(ConstMatrixView logits, const std::int64_t* targets, float* out) {
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < logits.rows; ++i) {
    const float* row = logits.row(i);
    const float top = row_maximum(row, logits.cols);
    // The shift is rounded once in log2 units inside; take back exactly what was subtracted.
    const double shift = static_cast<double>(top * simd::log2_e) / static_cast<double>(simd::log2_e);
    const double total = sum_of_exponentials(row, logits.cols, top);
    out[i] = static_cast<float>(std::log(total) + shift - static_cast<double>(row[targets[i]]));
  }
}

void likeliest(ConstMatrixView logits, const std::int64_t* targets, std::int64_t* out) {
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < logits.rows; ++i) {
    const float* row = logits.row(i);
    out[i] = std::max_element(row, row + logits.cols) == row + targets[i] ? 1 : 0;
  }
}

}  // namespace stamp
