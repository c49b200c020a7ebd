// Descent over orthogonal matrices: the published step against its plain transcription, against the exact Cayley
// transform, and what it promises. Specification methods 7.
#include "training/cayley.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_solve.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>

#include <cmath>
#include <vector>

#include "base/seed.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::training;

namespace {

using Matrix = std::vector<std::vector<double>>;

at::Tensor tensor_of(const Matrix& m) {
  const auto n = static_cast<std::int64_t>(m.size());
  at::Tensor out = at::empty({n, n}, at::TensorOptions(at::kDouble));
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      out.data_ptr<double>()[i * n + j] = m[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)];
  return out;
}

Matrix matrix_of(const at::Tensor& t) {
  const auto n = static_cast<std::size_t>(t.size(0));
  const at::Tensor dense = t.contiguous();
  Matrix out(n, std::vector<double>(n));
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) out[i][j] = dense.const_data_ptr<double>()[i * n + j];
  return out;
}

at::Tensor gaussian(std::int64_t n, std::uint64_t seed) {
  RandomStream stream(seed, "cayley test");
  at::Tensor out = at::empty({n, n}, at::TensorOptions(at::kDouble));
  for (std::int64_t i = 0; i < n * n; ++i) out.data_ptr<double>()[i] = stream.normal();
  return out;
}

at::Tensor orthogonal(std::int64_t n, std::uint64_t seed) {
  return orthonormal_rows(gaussian(n, seed));
}

double value(const at::Tensor& t) {
  return t.item<double>();
}
double distance(const at::Tensor& a, const at::Tensor& b) {
  return value((a - b).abs().max());
}

// The step of specification methods 7 line by line.
Matrix plain_step(Matrix p, const Matrix& g, double rate) {
  const std::size_t n = p.size();
  const auto zero = [&] { return Matrix(n, std::vector<double>(n, 0.0)); };
  const auto times = [&](const Matrix& a, const Matrix& b) {
    Matrix c = zero();
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j)
        for (std::size_t k = 0; k < n; ++k) c[i][j] += a[i][k] * b[k][j];
    return c;
  };
  for (std::size_t i = 0; i < n; ++i) {
    double length = 0;
    for (const double v : p[i]) length += v * v;
    for (double& v : p[i]) v /= std::sqrt(length);
  }
  Matrix ut = zero(), v = zero();
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      ut[i][j] = p[j][i];
      v[i][j] = -g[j][i];
    }
  Matrix a = times(v, p);
  const Matrix projected = times(ut, times(p, a));
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) a[i][j] -= 0.5 * projected[i][j];
  Matrix s = zero();
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) s[i][j] = a[i][j] - a[j][i];
  double norm = 0;
  for (std::size_t j = 0; j < n; ++j) {
    double column = 0;
    for (std::size_t i = 0; i < n; ++i) column += std::abs(s[i][j]);
    norm = std::max(norm, column);
  }
  const double alpha = std::min(rate, 1 / (norm + 1e-8));
  Matrix y = zero();
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) y[i][j] = ut[i][j] + alpha * v[i][j];
  for (int iteration = 0; iteration < 5; ++iteration) {
    Matrix middle = zero();
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) middle[i][j] = (ut[i][j] + y[i][j]) / 2;
    const Matrix turned = times(s, middle);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) y[i][j] = ut[i][j] + alpha * turned[i][j];
  }
  Matrix out = zero();
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) out[i][j] = y[j][i];
  return out;
}

// S and alpha of a step from an orthogonal P.
struct Direction {
  at::Tensor s;
  double alpha;
};
Direction direction(const at::Tensor& p, const at::Tensor& g, double rate) {
  const at::Tensor half = -0.5 * at::matmul(g.t(), p);  // U^T U = I: A = V U / 2
  const at::Tensor s = half - half.t();
  return {s, std::min(rate, 1 / (value(s.abs().sum(0).max()) + 1e-8))};
}

}  // namespace

TEST_CASE("a Cayley step is the published one, line by line") {
  for (const std::int64_t n : {2, 3, 8, 20}) {
    for (const double rate : {1e-3, 0.3, 1.5}) {
      // Slightly off the orthogonal matrices, as parameters in the middle of a training are.
      const at::Tensor p = orthogonal(n, 1) + 1e-3 * gaussian(n, 2);
      const at::Tensor g = gaussian(n, 3);
      INFO("n " << n << " rate " << rate);
      CHECK(distance(cayley_step(p, g, rate, false), tensor_of(plain_step(matrix_of(p), matrix_of(g), rate))) < 1e-13);
    }
  }
}

TEST_CASE("a Cayley step gives numbers computed with NumPy") {
  // scripts/reference/spinquant.py --golden
  const Matrix p = {{0.36, 0.48, -0.8}, {-0.8, 0.6, 0.0}, {0.48, 0.64, 0.6}};
  const Matrix g = {{0.5, -1.0, 0.25}, {2.0, 0.125, -0.75}, {-0.5, 1.5, 1.0}};
  const Matrix expected = {{0.16594125815945832, 0.6119610863539791, -0.7732855585158},
                           {-0.8264506191810221, 0.5141097124342425, 0.22951302140649676},
                           {0.5380003043561932, 0.600998583230099, 0.5910607282611702}};
  CHECK(distance(cayley_step(tensor_of(p), tensor_of(g), 0.2, false), tensor_of(expected)) < 1e-14);
}

TEST_CASE("five iterations come as near to the exact Cayley transform as their contraction says") {
  for (const std::int64_t n : {4, 16, 64}) {
    const at::Tensor p = orthogonal(n, 4), g = gaussian(n, 5);
    const auto [s, alpha] = direction(p, g, 1.5);
    const at::Tensor identity = at::eye(n, p.options()), x = p.t();
    const at::Tensor exact = at::linalg_solve(identity - alpha / 2 * s, at::matmul(identity + alpha / 2 * s, x));
    CHECK(distance(at::matmul(exact, exact.t()), identity) < 1e-12);
    const auto spectral = [](const at::Tensor& t) { return value(at::linalg_vector_norm(t)); };  // an upper bound
    const double first = spectral(x - alpha * g.t() - exact);
    CHECK(spectral(cayley_step(p, g, 1.5, false).t() - exact) <= first / 32);
  }
}

TEST_CASE("a small Cayley step lowers the loss by the squared length of its direction") {
  const std::int64_t n = 12;
  const at::Tensor p = orthogonal(n, 6), target = orthogonal(n, 7), a = gaussian(n, 8);
  const auto loss = [&](const at::Tensor& x) { return 0.5 * value(at::matmul(a, x - target).square().sum()); };
  const at::Tensor gradient = at::matmul(a.t(), at::matmul(a, p - target));
  const double rate = 1e-7;
  const auto [s, alpha] = direction(p, gradient, rate);
  REQUIRE(alpha == rate);
  const double slope = (loss(cayley_step(p, gradient, rate, false)) - loss(p)) / rate;
  CHECK(slope == Approx(-value(s.square().sum())).epsilon(1e-4));
}

TEST_CASE("Cayley descent stays orthogonal and finds the minimum of a quadratic") {
  for (const std::int64_t n : {4, 64}) {
    at::Tensor p = orthogonal(n, 9);
    // A rotation of p away, so that it can be reached without a reflection.
    const at::Tensor noise = gaussian(n, 10),
                     target = orthonormal_rows(p + 0.3 / std::sqrt(n) * at::matmul(noise - noise.t(), p));
    const auto loss = [&](const at::Tensor& x) { return 0.5 * value((x - target).square().sum()); };
    const double start = loss(p);
    const CayleySgd descent(0, "test");
    double before = start, worst = 0;
    for (std::int64_t i = 0; i < 200; ++i) {
      p = descent.step(p, p - target, 0.5, i);
      worst = std::max(worst, orthogonality_error(p));
      const double now = loss(p);
      CHECK(now <= before * (1 + 1e-6) + 1e-10);
      before = now;
    }
    INFO("n " << n << " loss " << start << " -> " << before);
    CHECK(worst <= CayleySgd::tolerance);
    CHECK(before < 1e-6 * start);
  }
}

TEST_CASE("rows are made orthonormal in order, with the signs they had") {
  const at::Tensor p = orthogonal(6, 11);
  CHECK(orthogonality_error(p) < 1e-14);
  CHECK(distance(orthonormal_rows(p), p) < 1e-14);
  const at::Tensor off = p + 1e-4 * gaussian(6, 12), back = orthonormal_rows(off);
  CHECK(orthogonality_error(off) > 1e-5);
  CHECK(orthogonality_error(back) < 1e-14);
  CHECK(distance(back, off) < 1e-3);
  // The first row keeps its direction, the first two their plane.
  CHECK(distance(back[0], off[0] / at::linalg_vector_norm(off[0])) < 1e-14);
}

TEST_CASE("the random re-orthogonalization depends on seed, purpose and step alone") {
  // A matrix far off: a step that re-orthogonalizes first differs from one that does not.
  const std::int64_t n = 5;
  const at::Tensor p = orthogonal(n, 13) + 1e-9 * gaussian(n, 14), g = 1e-12 * gaussian(n, 15);
  const CayleySgd a(1, "first"), same(1, "first"), other(2, "first");
  int chosen = 0, agree_with_other = 0;
  for (std::int64_t i = 0; i < 1010; ++i) {
    const bool on_a = orthogonality_error(a.step(p, g, 1.0, i)) < 1e-12;
    CHECK(on_a == (orthogonality_error(same.step(p, g, 1.0, i)) < 1e-12));
    chosen += on_a;
    agree_with_other += on_a && orthogonality_error(other.step(p, g, 1.0, i)) < 1e-12;
  }
  CHECK(chosen >= 1);   // ten expected; none has a chance of 4e-5
  CHECK(chosen <= 30);  // and more than thirty one of 1e-7
  CHECK(agree_with_other < chosen);
}
