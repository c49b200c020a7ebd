#include "models/kernels/encoder.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace stamp {
namespace {

float dot(const float* a, const float* b, std::int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// Scores to probabilities, in place.
void softmax(float* scores, std::int64_t n) {
  float top = -std::numeric_limits<float>::infinity();
  for (std::int64_t j = 0; j < n; ++j) top = std::max(top, scores[j]);
  float sum = 0;
  for (std::int64_t j = 0; j < n; ++j) sum += scores[j] = std::exp(scores[j] - top);
  const float share = 1 / sum;
  for (std::int64_t j = 0; j < n; ++j) scores[j] *= share;
}

template <typename F>
void each(MatrixView x, F function) {
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < x.rows; ++i) {
    float* row = x.row(i);
    for (std::int64_t j = 0; j < x.cols; ++j) row[j] = function(row[j]);
  }
}

}  // namespace

void encoder_attention(ConstMatrixView q, ConstMatrixView k, ConstMatrixView v, const EncoderAttention& shape,
                       MatrixView out) {
  const std::int64_t s = q.rows, hd = shape.head_dim;
#pragma omp parallel for schedule(static) collapse(2)
  for (std::int64_t h = 0; h < shape.heads; ++h)
    for (std::int64_t i = 0; i < s; ++i) {
      const std::int64_t keys = shape.causal ? i + 1 : k.rows, first = h * hd;
      std::vector<float> scores(static_cast<std::size_t>(keys)), sum(static_cast<std::size_t>(hd));
      const float* query = q.row(i) + first;
      for (std::int64_t j = 0; j < keys; ++j)
        scores[static_cast<std::size_t>(j)] = shape.scale * dot(query, k.row(j) + first, hd);
      if (shape.by_distance) {
        const float* bias = shape.by_distance + h * (2 * s - 1) + s - 1 - i;
        for (std::int64_t j = 0; j < keys; ++j) scores[static_cast<std::size_t>(j)] += bias[j];
      }
      softmax(scores.data(), keys);
      for (std::int64_t j = 0; j < keys; ++j) {
        const float p = scores[static_cast<std::size_t>(j)];
        const float* value = v.row(j) + first;
        for (std::int64_t d = 0; d < hd; ++d) sum[static_cast<std::size_t>(d)] += p * value[d];
      }
      std::copy_n(sum.data(), hd, out.row(i) + first);  // only this iteration reads this part of q
    }
}

void layer_norm(ConstMatrixView x, const float* weight, const float* bias, float eps, MatrixView out) {
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const float* from = x.row(i);
    float* to = out.row(i);
    double mean = 0, variance = 0;
    for (std::int64_t j = 0; j < x.cols; ++j) mean += static_cast<double>(from[j]);
    mean /= static_cast<double>(x.cols);
    for (std::int64_t j = 0; j < x.cols; ++j) {
      const double d = static_cast<double>(from[j]) - mean;
      variance += d * d;
    }
    variance /= static_cast<double>(x.cols);
    const auto centre = static_cast<float>(mean);
    const auto share = static_cast<float>(1 / std::sqrt(variance + static_cast<double>(eps)));
    for (std::int64_t j = 0; j < x.cols; ++j) to[j] = (from[j] - centre) * share * weight[j] + bias[j];
  }
}

void quick_gelu(MatrixView x) {
  each(x, [](float v) { return v / (1 + std::exp(-1.702F * v)); });
}

void exact_gelu(MatrixView x) {
  each(x, [](float v) { return 0.5F * v * (1 + std::erf(v * 0.70710678118654752F)); });
}

void normalize_rows(MatrixView x) {
  for (std::int64_t i = 0; i < x.rows; ++i) {
    double sum = 0;
    for (std::int64_t j = 0; j < x.cols; ++j)
      sum += static_cast<double>(x.row(i)[j]) * static_cast<double>(x.row(i)[j]);
    if (sum == 0) continue;
    const double share = 1 / std::sqrt(sum);
    for (std::int64_t j = 0; j < x.cols; ++j)
      x.row(i)[j] = static_cast<float>(static_cast<double>(x.row(i)[j]) * share);
  }
}

}  // namespace stamp
