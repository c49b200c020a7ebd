#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "base/seed.h"
#include "transforms/feature_transform.h"

namespace stamp {
namespace {

double dot(const double* a, const double* b, std::int64_t n) {
  double part[8] = {};
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (std::int64_t k = 0; k < 8; ++k) part[k] += a[i + k] * b[i + k];
  double sum = 0;
  for (; i < n; ++i) sum += a[i] * b[i];
  for (const double p : part) sum += p;
  return sum;
}

void add_scaled(double* y, const double* x, double factor, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) y[i] += factor * x[i];
}

// Q of A = Q R with a positive diagonal of R: the one factorization that makes Q uniform for a Gaussian A.
// `a`: columns one after the other. Result row-major. Householder reflections, I - 2 v v^T with unit v.
std::vector<double> orthogonal_factor(std::vector<double> a, std::int64_t n) {
  std::vector<double> sign(static_cast<std::size_t>(n));
  const auto column = [&](std::int64_t j) { return a.data() + j * n; };
  for (std::int64_t j = 0; j < n; ++j) {
    double* v = column(j) + j;
    const std::int64_t m = n - j;
    const double norm = std::sqrt(dot(v, v, m));
    sign[static_cast<std::size_t>(j)] = v[0] > 0 ? -1 : 1;  // sign of the diagonal entry -sign(v0) * norm
    v[0] += v[0] > 0 ? norm : -norm;
    const double length = std::sqrt(dot(v, v, m));
    if (length > 0)
      for (std::int64_t i = 0; i < m; ++i) v[i] /= length;
#pragma omp parallel for schedule(static) if (m > 128)
    for (std::int64_t k = j + 1; k < n; ++k) {
      double* c = column(k) + j;
      add_scaled(c, v, -2 * dot(v, c, m), m);
    }
  }
  // Q = P_0 P_1 ... P_{n-1} times the signs, by columns; the reflections before column j's own leave e_j alone.
  std::vector<double> q(static_cast<std::size_t>(n * n), 0.0);
#pragma omp parallel for schedule(dynamic, 8)
  for (std::int64_t j = 0; j < n; ++j) {
    std::vector<double> e(static_cast<std::size_t>(n), 0.0);
    e[static_cast<std::size_t>(j)] = sign[static_cast<std::size_t>(j)];
    for (std::int64_t k = j; k >= 0; --k) {
      const double* v = column(k) + k;
      add_scaled(e.data() + k, v, -2 * dot(v, e.data() + k, n - k), n - k);
    }
    for (std::int64_t i = 0; i < n; ++i) q[static_cast<std::size_t>(i * n + j)] = e[static_cast<std::size_t>(i)];
  }
  return q;
}

}  // namespace

std::unique_ptr<FeatureTransform> random_orthogonal(std::int64_t n, std::uint64_t seed, const std::string& purpose,
                                                    Gemm gemm) {
  if (n < 1) throw std::logic_error("random_orthogonal: size " + std::to_string(n));
  std::vector<double> gaussian(static_cast<std::size_t>(n * n));
  for (std::int64_t j = 0; j < n; ++j) {  // a stream a column: the draw does not depend on how columns are split
    RandomStream stream(seed, purpose, static_cast<std::uint64_t>(j));
    for (std::int64_t i = 0; i < n; ++i) gaussian[static_cast<std::size_t>(j * n + i)] = stream.normal();
  }
  std::vector<double> q = orthogonal_factor(std::move(gaussian), n), transpose(q.size());
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      transpose[static_cast<std::size_t>(j * n + i)] = q[static_cast<std::size_t>(i * n + j)];
  return dense("random orthogonal " + std::to_string(n), n, std::move(q), std::move(transpose), gemm);
}

}  // namespace stamp
