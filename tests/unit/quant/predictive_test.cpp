// Closed-loop prediction: causal, errors do not add up, and what it gains.
#include "quant/predictive.h"
#include "support/catch.h"
#include "support/matrices.h"

using namespace stamp;
using test::Matrix;

namespace {

Matrix ar1(std::int64_t s, std::int64_t d, float rho, std::uint64_t seed) {
  Matrix x = test::gaussian(s, d, seed);
  for (std::int64_t t = 1; t < s; ++t)
    for (std::int64_t j = 0; j < d; ++j) x.at(t, j) = rho * x.at(t - 1, j) + std::sqrt(1 - rho * rho) * x.at(t, j);
  return x;
}

RowBits uniform(std::int64_t s, float bits) {
  RowBits rows;
  rows.bits.assign(static_cast<std::size_t>(s), bits);
  return rows;
}

SlotStatistics run(const Matrix& x, float bits, const PredictiveGrid& grid, Matrix& out,
                   std::vector<std::int64_t>* chosen = nullptr) {
  SlotStatistics statistics;
  quantize_predictive(x.view(), uniform(x.rows, bits), grid, out.view(), &statistics, chosen);
  return statistics;
}

double squared_gap(const Matrix& a, const Matrix& b) {
  double sum = 0;
  for (std::int64_t i = 0; i < a.rows; ++i)
    for (std::int64_t j = 0; j < a.cols; ++j)
      sum += std::pow(static_cast<double>(a.at(i, j)) - static_cast<double>(b.at(i, j)), 2);
  return sum;
}

}  // namespace

TEST_CASE("a later token changes nothing before it, to the last bit") {
  const PredictiveGrid grid{{}, {0.0f, 0.5f, 0.9f, 1.0f}};
  Matrix x = ar1(40, 33, 0.9f, 1), first(40, 33), second(40, 33);
  run(x, 4, grid, first);
  for (std::int64_t j = 0; j < 33; ++j) x.at(25, j) = 1000;
  run(x, 4, grid, second);
  for (std::int64_t t = 0; t < 25; ++t)
    for (std::int64_t j = 0; j < 33; ++j) CHECK(first.at(t, j) == second.at(t, j));
  CHECK(first.at(25, 0) != second.at(25, 0));
}

TEST_CASE("the error is that of the residuals' own grid: nothing adds up along the tokens") {
  for (const std::int64_t group : {0, 16})
    for (const float bits : {2.0f, 4.0f, 8.0f}) {
      PredictiveGrid grid{{}, {0.0f, 0.95f}};
      grid.grid.group = group;
      const Matrix x = ar1(300, 48, 0.95f, 2);
      Matrix out(300, 48);
      const SlotStatistics s = run(x, bits, grid, out);
      CHECK(squared_gap(out, x) == Approx(s.error).epsilon(1e-3));
      CHECK(s.error <= s.b2 * (1 + 1e-4));  // Theorem 1 of the residuals
      CHECK(s.error <= s.b1 * (1 + 1e-4));
      // The last tokens are no worse than the first.
      double early = 0, late = 0;
      for (std::size_t t = 20; t < 120; ++t) early += s.row_error[t];
      for (std::size_t t = 200; t < 300; ++t) late += s.row_error[t];
      CHECK(late < 1.5 * early);
    }
}

TEST_CASE("without prediction it is the quantizer of rows") {
  const Matrix x = ar1(20, 37, 0.5f, 3);
  Matrix out(20, 37), expected(20, 37);
  run(x, 4, {{}, {0.0f}}, out);
  SequenceTransformRequest request;
  request.tokens = 20;
  QuantizerWorkspace workspace;
  quantize_sequence(x.view(), *make_sequence_transform("identity", request), uniform(20, 4), {}, expected.view(),
                    nullptr, workspace);
  CHECK(test::difference(out, expected) == 0);
}

TEST_CASE("a linear layer may run on the quantized residuals") {
  // y_t = a y_{t-1} + W Q(r_t), as the layer would compute it, is W x^_t.
  const float a = 0.9f;
  const Matrix x = ar1(30, 24, 0.9f, 4), w = test::gaussian(8, 24, 5);
  Matrix out(30, 24);
  run(x, 4, {{}, {a}}, out);
  std::vector<double> y(8, 0.0);
  for (std::int64_t t = 0; t < 30; ++t)
    for (std::int64_t m = 0; m < 8; ++m) {
      double direct = 0, residual = 0;
      for (std::int64_t j = 0; j < 24; ++j) {
        const double before = t > 0 ? static_cast<double>(out.at(t - 1, j)) : 0.0,
                     weight = static_cast<double>(w.at(m, j));
        direct += weight * static_cast<double>(out.at(t, j));
        residual += weight * (static_cast<double>(out.at(t, j)) - static_cast<double>(a) * before);
      }
      double& sum = y[static_cast<std::size_t>(m)];
      sum = static_cast<double>(a) * sum + residual;
      CHECK(sum == Approx(direct).margin(1e-4));
    }
}

TEST_CASE(
    "what prediction gains at equal bits approaches 1 / (1 - rho^2) on a fine grid, and a sink does not spoil it") {
  const std::int64_t s = 512, d = 256;
  for (const float rho : {0.8f, 0.95f}) {
    const Matrix x = ar1(s, d, rho, 6);
    Matrix out(s, d);
    const double plain = run(x, 8, {{}, {0.0f}}, out).error, predicted = run(x, 8, {{}, {0.0f, rho}}, out).error;
    CHECK(plain / predicted == Approx(1 / (1 - static_cast<double>(rho * rho))).epsilon(0.1));
    CHECK(best_prediction_factor(x.view()) == Approx(static_cast<double>(rho)).margin(0.01));
  }
  Matrix x = ar1(s, d, 0.95f, 7);
  for (std::int64_t j = 0; j < 4; ++j) x.at(0, j) = 3000;
  Matrix out(s, d);
  std::vector<std::int64_t> chosen;
  run(x, 4, {{}, {0.0f, 0.95f}}, out, &chosen);
  CHECK(chosen[0] == 0);
  CHECK(chosen[1] == 0);  // the sink is not predicted from
  CHECK(std::count(chosen.begin() + 2, chosen.end(), 1) > s * 9 / 10);
}

TEST_CASE("misuse is told, in place works, and nothing is predicted from nothing") {
  Matrix x = ar1(10, 8, 0.9f, 8), out(10, 8), narrow(10, 7);
  CHECK_THROWS_AS(quantize_predictive(x.view(), uniform(9, 4), {}, out.view(), nullptr), std::logic_error);
  CHECK_THROWS_AS(quantize_predictive(x.view(), uniform(10, 4), {}, narrow.view(), nullptr), std::logic_error);
  CHECK_THROWS_AS(quantize_predictive(x.view(), uniform(10, 4), {{}, {}}, out.view(), nullptr), std::logic_error);
  quantize_predictive(x.view(), uniform(10, 4), {}, out.view(), nullptr);
  Matrix same = x;
  quantize_predictive(same.view(), uniform(10, 4), {}, same.view(), nullptr);
  CHECK(test::difference(same, out) == 0);
  CHECK(best_prediction_factor(Matrix(1, 8).view()) == 0);
}
