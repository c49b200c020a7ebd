#include "quant/rounding_noise.h"

#include <cmath>
#include <functional>
#include <numbers>
#include <random>
#include <vector>

#include "quant/grid.h"
#include "support/catch.h"

using namespace stamp;

namespace {

// The slow twin: the integral itself, by the midpoint rule over 40 spreads to either side.
double integral(const std::function<double(double)>& density, double spread) {
  const int n = 400000;
  const double from = -40 * spread, width = 80 * spread / n;
  double sum = 0;
  for (int i = 0; i < n; ++i) {
    const double x = from + (i + 0.5) * width, e = std::nearbyint(x) - x;
    sum += e * e * density(x) * width;
  }
  return sum;
}

struct Measured {
  double error = 0, b3 = 0, b5 = 0;
};
Measured rows_of(const std::function<float(std::mt19937&)>& draw, std::int64_t n, double bits) {
  std::mt19937 random(1);
  Measured sum;
  std::vector<float> row(static_cast<std::size_t>(n)), rounded(row.size());
  Grid grid;
  grid.bits = bits;
  for (int i = 0; i < 200; ++i) {
    double energy = 0, low = 0, high = 0;
    for (float& v : row) {
      v = draw(random);
      energy += static_cast<double>(v) * static_cast<double>(v);
      low = std::min(low, static_cast<double>(v));
      high = std::max(high, static_cast<double>(v));
    }
    fake_quantize_group(row, grid, rounded);
    for (std::size_t j = 0; j < row.size(); ++j) sum.error += std::pow(static_cast<double>(rounded[j] - row[j]), 2);
    const auto steps = static_cast<double>(steps_of(bits));
    sum.b3 += static_cast<double>(n) * std::pow((high - low) / steps, 2) / 12;
    sum.b5 += estimated_rounding_error(n, energy, low, high, steps_of(bits));
  }
  return sum;
}

}  // namespace

TEST_CASE("the closed forms are the integrals of the rounding error") {
  for (const double spread : {0.02, 0.09, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5, 28.0, 29.0}) {
    CAPTURE(spread);
    const auto normal = [&](double x) {
      return std::exp(-x * x / (2 * spread * spread)) / (spread * std::sqrt(2 * std::numbers::pi));
    };
    const auto laplace = [&](double x) {
      const double b = spread / std::numbers::sqrt2;
      return std::exp(-std::fabs(x) / b) / (2 * b);
    };
    CHECK(rounding_error_normal(spread) == Approx(integral(normal, spread)).epsilon(1e-4));
    CHECK(rounding_error_laplace(spread) == Approx(integral(laplace, spread)).epsilon(1e-4));
  }
}

TEST_CASE("the estimate follows the shape of a row without being told it") {
  std::normal_distribution<float> normal;
  std::exponential_distribution<float> tail;
  const auto gaussian = [&](std::mt19937& r) { return normal(r); };
  const auto laplace = [&](std::mt19937& r) { return (r() % 2 ? 1.0f : -1.0f) * tail(r); };
  for (const double bits : {2.0, 3.0, 4.0, 8.0}) {
    CAPTURE(bits);
    const Measured g = rows_of(gaussian, 576, bits), l = rows_of(laplace, 576, bits);
    CHECK(g.b5 == Approx(g.error).epsilon(0.05));
    CHECK(l.b5 == Approx(l.error).epsilon(0.15));
    CHECK(std::fabs(std::log(l.b5 / l.error)) <= std::fabs(std::log(l.b3 / l.error)) + 0.01);
  }
}

TEST_CASE("one value that is a hundred times the others leaves their energy as the error, not its step") {
  std::normal_distribution<float> normal;
  int i = 0;
  const auto outlier = [&](std::mt19937& r) { return (i++ % 576 == 7 ? 100.0f : 1.0f) * normal(r); };
  const Measured m = rows_of(outlier, 576, 4);
  CHECK(m.b3 > 2 * m.error);
  CHECK(m.b5 == Approx(m.error).epsilon(0.15));
}

TEST_CASE("edges: no steps, no energy, a lone value, two values, the last bit of a sum") {
  CHECK(estimated_rounding_error(8, 5.0, -1, 1, 0) == 5.0);
  CHECK(estimated_rounding_error(8, 0, 0, 0, 15) == 0);
  CHECK(estimated_rounding_error(1, 4, 0, 2, 15) == Approx(4.0 / 225 / 12));
  CHECK(estimated_rounding_error(2, 2, -1, 1, 15) == Approx(2 * 4.0 / 225 / 12));
  CHECK(estimated_rounding_error(576, 2 - 1e-12, -1, 1, 15) > 0);
  for (std::int64_t n = 3; n < 40; ++n) {
    const double estimate = estimated_rounding_error(n, static_cast<double>(n), -2, 2, 15);
    CHECK(std::isfinite(estimate));
    CHECK(estimate > 0);
  }
}
