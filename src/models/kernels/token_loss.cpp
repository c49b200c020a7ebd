#include "models/kernels/token_loss.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "models/kernels/simd.h"

namespace stamp {
namespace {

using simd::V;

// -inf lanes fill up the last vector: they neither raise the maximum nor add to the sum (2^-126 at most each).
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

// A shift is rounded once in log2 units inside; this is exactly what was subtracted.
double subtracted(float top) {
  return static_cast<double>(top * simd::log2_e) / static_cast<double>(simd::log2_e);
}

float loss_of(double total, float top, float target) {
  return static_cast<float>(std::log(total) + subtracted(top) - static_cast<double>(target));
}

}  // namespace

void token_losses(ConstMatrixView logits, const std::int64_t* targets, float* out) {
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < logits.rows; ++i) {
    const float* row = logits.row(i);
    const float top = row_maximum(row, logits.cols);
    out[i] = loss_of(sum_of_exponentials(row, logits.cols, top), top, row[targets[i]]);
  }
}

float RunningLoss::value() const {
  return loss_of(total, top, target);
}

void add_logits(ConstMatrixView logits, std::int64_t first_id, const std::int64_t* targets, RunningLoss* losses) {
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < logits.rows; ++i) {
    const float* row = logits.row(i);
    RunningLoss& loss = losses[i];
    const float top = row_maximum(row, logits.cols);
    // Tokens that are ruled out (-inf) throughout a piece have no mass; relative to themselves they would be NaN.
    const bool empty = top == nothing && std::none_of(row, row + logits.cols, [](float x) { return std::isnan(x); });
    const double total = empty ? 0 : sum_of_exponentials(row, logits.cols, top);
    const bool first = loss.likeliest < 0;
    if (empty) {
      // nothing to add
    } else if (first || top > loss.top) {
      loss.total = first ? total : loss.total * std::exp(subtracted(loss.top) - subtracted(top)) + total;
      loss.top = top;
      loss.likeliest = first_id + (std::max_element(row, row + logits.cols) - row);
    } else {
      loss.total += total * std::exp(subtracted(top) - subtracted(loss.top));
    }
    const std::int64_t target = targets[i] - first_id;
    if (target >= 0 && target < logits.cols) loss.target = row[target];
  }
}

}  // namespace stamp
