// The blocked kernel against the formula, in double, with every query walking its keys.
#include "models/kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "base/parallel.h"
#include "support/catch.h"

using namespace stamp;

namespace {

struct Sample {
  std::int64_t rows, past, q_cols, kv_cols;
  std::vector<float> q, k, v;  // the queries are the last `rows` of past + rows positions
  Sample(std::int64_t s, const AttentionShape& shape, float spread, std::int64_t before = 0)
      : rows(s), past(before), q_cols(shape.heads * shape.head_dim), kv_cols(shape.kv_heads * shape.head_dim) {
    std::mt19937 generator(static_cast<unsigned>(s * 31 + shape.heads));
    std::normal_distribution<float> normal(0, spread);
    const std::int64_t keys = past + s;
    for (auto [to, n] : {std::pair{&q, s * q_cols}, {&k, keys * kv_cols}, {&v, keys * kv_cols}}) {
      to->resize(static_cast<std::size_t>(n));
      for (float& x : *to) x = normal(generator);
    }
  }
  std::vector<float> fast(const AttentionShape& shape) const {
    std::vector<float> out(q.size(), std::numeric_limits<float>::quiet_NaN());
    causal_attention({q.data(), rows, q_cols, q_cols}, {k.data(), past + rows, kv_cols, kv_cols},
                     {v.data(), past + rows, kv_cols, kv_cols}, shape, {out.data(), rows, q_cols, q_cols});
    return out;
  }
};

// Query row `row` of head `head`: hd values. Also the largest |score| before the cap, which bounds how far float32 may
// be off.
std::vector<double> twin(const Sample& s, const AttentionShape& shape, std::int64_t row, std::int64_t head,
                         double& score) {
  const std::int64_t hd = shape.head_dim, kv = head / (shape.heads / shape.kv_heads), position = s.past + row;
  const std::int64_t first = shape.window > 0 ? std::max<std::int64_t>(0, position - shape.window + 1) : 0;
  const auto at = [](const std::vector<float>& x, std::int64_t i) {
    return static_cast<double>(x[static_cast<std::size_t>(i)]);
  };
  std::vector<double> weights;
  for (std::int64_t key = first; key <= position; ++key) {
    double dot = 0;
    for (std::int64_t d = 0; d < hd; ++d)
      dot += at(s.q, row * s.q_cols + head * hd + d) * at(s.k, key * s.kv_cols + kv * hd + d);
    dot *= static_cast<double>(shape.scale);
    score = std::max(score, std::abs(dot));
    const auto cap = static_cast<double>(shape.softcap);
    weights.push_back(cap > 0 ? cap * std::tanh(dot / cap) : dot);
  }
  const double top = *std::max_element(weights.begin(), weights.end());
  double total = 0;
  for (double& w : weights) total += w = std::exp(w - top);
  std::vector<double> out(static_cast<std::size_t>(hd), 0.0);
  for (std::size_t i = 0; i < weights.size(); ++i)
    for (std::int64_t d = 0; d < hd; ++d)
      out[static_cast<std::size_t>(d)] +=
          weights[i] / total * at(s.v, (first + static_cast<std::int64_t>(i)) * s.kv_cols + kv * hd + d);
  return out;
}

void compare(std::int64_t rows, const AttentionShape& shape, std::int64_t stride, std::int64_t past = 0) {
  const Sample sample(rows, shape, 1.5f, past);
  const std::vector<float> fast = sample.fast(shape);
  double worst = 0, score = 0, value = 0;
  for (const float x : sample.v) value = std::max(value, std::abs(static_cast<double>(x)));
  for (std::int64_t position = 0; position < rows; position += stride)
    for (std::int64_t head = 0; head < shape.heads; ++head) {
      const std::vector<double> slow = twin(sample, shape, position, head, score);
      for (std::int64_t d = 0; d < shape.head_dim; ++d) {
        const double difference = std::abs(
            static_cast<double>(fast[static_cast<std::size_t>(position * sample.q_cols + head * shape.head_dim + d)]) -
            slow[static_cast<std::size_t>(d)]);
        if (!(difference <= worst)) worst = difference;
      }
    }
  INFO("rows " << rows << " heads " << shape.heads << "/" << shape.kv_heads << " hd " << shape.head_dim << " window "
               << shape.window << " cap " << shape.softcap << " past " << past << ": " << worst);
  // A score of size S carries rounding of about S * 2^-24 * sqrt(hd) (its hd products), which changes its weight by
  // that fraction; the output then moves by at most that fraction of the largest value, twice (weight and total).
  CHECK(worst <= 2 * (score + 1) * std::ldexp(1.0, -24) * std::sqrt(static_cast<double>(shape.head_dim)) * value);
}

AttentionShape shape_of(std::int64_t heads, std::int64_t kv_heads, std::int64_t head_dim, std::int64_t window) {
  return {heads, kv_heads, head_dim, window, 1 / std::sqrt(static_cast<float>(head_dim)), 0};
}

}  // namespace

TEST_CASE("blocked attention is the formula, on awkward sizes") {
  for (const std::int64_t rows : {1, 2, 7, 63, 64, 65, 130, 257})
    for (const AttentionShape& shape : {shape_of(1, 1, 16, 0), shape_of(6, 2, 16, 0), shape_of(4, 4, 20, 0),
                                        shape_of(9, 3, 64, 0), shape_of(8, 1, 80, 0), shape_of(2, 1, 128, 0)})
      compare(rows, shape, 1);
}

TEST_CASE("sliding windows cut at the right key") {
  for (const std::int64_t window : {1, 2, 5, 64, 65, 100, 1000})
    for (const std::int64_t rows : {1, 12, 64, 200}) compare(rows, shape_of(6, 2, 16, window), 1);
  compare(700, shape_of(3, 1, 64, 70), 3);
}

TEST_CASE("rows that continue a sequence see what came before") {
  for (const std::int64_t rows : {1, 2, 3, 20, 65})
    for (const std::int64_t past : {1, 5, 63, 64, 200})
      for (const std::int64_t window : {0, 1, 30, 64, 150})
        for (const std::int64_t head_dim : {16, 20}) compare(rows, shape_of(6, 2, head_dim, window), 1, past);
  compare(1, shape_of(9, 3, 64, 0), 1, 1000);
  compare(1, shape_of(4, 1, 256, 512), 1, 1000);
}

TEST_CASE("soft-capped scores, whole sequences and continuations") {
  for (const float cap : {0.5f, 5.0f, 50.0f})
    for (const std::int64_t rows : {1, 2, 11, 130})
      for (const std::int64_t past : {0, 70})
        for (const std::int64_t window : {0, 4}) {
          AttentionShape shape = shape_of(6, 2, 12, window);
          shape.softcap = cap;
          compare(rows, shape, 1, past);
        }
}

TEST_CASE("the shape of SmolLM2 at 2048 tokens") {
  compare(2048, shape_of(9, 3, 64, 0), 101);
}

TEST_CASE("attention does not depend on the number of threads, and may write over the queries") {
  const AttentionShape shape = shape_of(9, 3, 64, 0);
  Sample sample(500, shape, 1);
  const int before = threads();
  set_threads(1);
  const std::vector<float> one = sample.fast(shape);
  set_threads(2);
  const std::vector<float> two = sample.fast(shape);
  CHECK(one == two);
  MatrixView q{sample.q.data(), sample.rows, sample.q_cols, sample.q_cols};
  causal_attention(q, {sample.k.data(), sample.rows, sample.kv_cols, sample.kv_cols},
                   {sample.v.data(), sample.rows, sample.kv_cols, sample.kv_cols}, shape, q);
  set_threads(before);
  CHECK(sample.q == one);
}

TEST_CASE("very large scores and NaN") {
  const AttentionShape shape = shape_of(1, 1, 16, 0);
  Sample sample(100, shape, 100.0f);  // scores of 1e4 and more: all weight on single keys
  for (const float x : sample.fast(shape)) CHECK(std::isfinite(x));
  sample.k[5 * 16] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> out = sample.fast(shape);
  CHECK(std::isfinite(out[4 * 16]));  // does not see key 5
  CHECK(std::isnan(out[99 * 16]));    // does
}
