// Kernels of text and image encoders against slow twins in double precision.
#include <cmath>

#include "models/kernels/encoder.h"
#include "support/catch.h"
#include "support/matrices.h"

using namespace stamp;
using stamp::test::gaussian;
using stamp::test::Matrix;

namespace {

Matrix slow_attention(const Matrix& q, const Matrix& k, const Matrix& v, const EncoderAttention& shape) {
  Matrix out(q.rows, q.cols);
  for (std::int64_t h = 0; h < shape.heads; ++h)
    for (std::int64_t i = 0; i < q.rows; ++i) {
      std::vector<double> p;
      double sum = 0;
      for (std::int64_t j = 0; j < (shape.causal ? i + 1 : k.rows); ++j) {
        double score = 0;
        for (std::int64_t d = 0; d < shape.head_dim; ++d)
          score += static_cast<double>(q.at(i, h * shape.head_dim + d)) *
                   static_cast<double>(k.at(j, h * shape.head_dim + d));
        score *= static_cast<double>(shape.scale);
        if (shape.by_distance)
          score += static_cast<double>(shape.by_distance[h * (2 * q.rows - 1) + j - i + q.rows - 1]);
        p.push_back(std::exp(score));
        sum += p.back();
      }
      for (std::int64_t d = 0; d < shape.head_dim; ++d) {
        double value = 0;
        for (std::size_t j = 0; j < p.size(); ++j)
          value += p[j] / sum * static_cast<double>(v.at(static_cast<std::int64_t>(j), h * shape.head_dim + d));
        out.at(i, h * shape.head_dim + d) = static_cast<float>(value);
      }
    }
  return out;
}

}  // namespace

TEST_CASE("encoder attention agrees with its definition, also in place", "[kernels]") {
  for (const bool causal : {false, true})
    for (const bool biased : {false, true}) {
      const std::int64_t s = 19, heads = 3, hd = 10;
      const Matrix q = gaussian(s, heads * hd, 1, 3), k = gaussian(s, heads * hd, 2), v = gaussian(s, heads * hd, 3);
      const Matrix bias = gaussian(heads, 2 * s - 1, 4);
      EncoderAttention shape{heads, hd, 0.4F, causal, biased ? bias.values.data() : nullptr};
      const Matrix expected = slow_attention(q, k, v, shape);
      Matrix out(s, heads * hd, 2), same = q;
      encoder_attention(q.view(), k.view(), v.view(), shape, out.view());
      encoder_attention(same.view(), k.view(), v.view(), shape, same.view());
      CHECK(difference(out, expected) < 3e-6);
      CHECK(difference(same, expected) < 3e-6);
      CHECK(out.margin_kept());
    }
}

TEST_CASE("encoder attention to the rows of another sequence agrees with its definition, also in place", "[kernels]") {
  for (const std::int64_t keys : {3, 23}) {
    const std::int64_t s = 7, heads = 2, hd = 5;
    const Matrix q = gaussian(s, heads * hd, 11, 3), k = gaussian(keys, heads * hd, 12, 4),
                 v = gaussian(keys, heads * hd, 13);
    const EncoderAttention shape{heads, hd, 0.4F, false, nullptr};
    const Matrix expected = slow_attention(q, k, v, shape);
    Matrix out(s, heads * hd, 2), same = q;
    encoder_attention(q.view(), k.view(), v.view(), shape, out.view());
    encoder_attention(same.view(), k.view(), v.view(), shape, same.view());
    CHECK(difference(out, expected) < 3e-6);
    CHECK(difference(same, expected) < 3e-6);
    CHECK(out.margin_kept());
  }
}

TEST_CASE("one row alone gives its value, and large scores do not overflow", "[kernels]") {
  const Matrix v = gaussian(1, 8, 5);
  Matrix q(1, 8), out(1, 8);
  for (std::int64_t j = 0; j < 8; ++j) q.at(0, j) = 1e15F;
  encoder_attention(q.view(), q.view(), v.view(), {2, 4, 1, false, nullptr}, out.view());
  CHECK(difference(out, v) == 0);
}

TEST_CASE("layer norm, both GELUs and rows of length one", "[kernels]") {
  const Matrix x = gaussian(5, 37, 6, 2), w = gaussian(1, 37, 7), b = gaussian(1, 37, 8);
  Matrix normed(5, 37), quick = x, exact = x, unit = x;
  layer_norm(x.view(), w.values.data(), b.values.data(), 1e-5F, normed.view());
  quick_gelu(quick.view());
  exact_gelu(exact.view());
  for (std::int64_t j = 0; j < 37; ++j) unit.at(2, j) = 0;
  normalize_rows(unit.view());
  for (std::int64_t i = 0; i < 5; ++i) {
    double mean = 0, variance = 0, length = 0;
    for (std::int64_t j = 0; j < 37; ++j) mean += static_cast<double>(x.at(i, j)) / 37;
    for (std::int64_t j = 0; j < 37; ++j) variance += std::pow(static_cast<double>(x.at(i, j)) - mean, 2) / 37;
    for (std::int64_t j = 0; j < 37; ++j) {
      const auto value = static_cast<double>(x.at(i, j));
      CHECK(static_cast<double>(normed.at(i, j)) ==
            Approx((value - mean) / std::sqrt(variance + 1e-5) * static_cast<double>(w.at(0, j)) +
                   static_cast<double>(b.at(0, j)))
                .margin(1e-6));
      CHECK(static_cast<double>(quick.at(i, j)) == Approx(value / (1 + std::exp(-1.702 * value))).margin(1e-6));
      CHECK(static_cast<double>(exact.at(i, j)) ==
            Approx(value / 2 * (1 + std::erf(value / std::sqrt(2.0)))).margin(1e-6));
      length += static_cast<double>(unit.at(i, j)) * static_cast<double>(unit.at(i, j));
    }
    CHECK(length == Approx(i == 2 ? 0.0 : 1.0).margin(1e-6));
  }
}
