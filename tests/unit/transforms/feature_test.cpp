#include "base/error.h"
#include "support/catch.h"
#include "support/matrices.h"
#include "transforms/feature_transform.h"

using namespace stamp;
using test::Matrix;

namespace {

// x R in double.
Matrix dense_right(const Matrix& x, const std::vector<double>& r, bool transposed = false) {
  Matrix y(x.rows, x.cols);
  const auto n = static_cast<std::size_t>(x.cols);
  for (std::int64_t i = 0; i < x.rows; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      double sum = 0;
      for (std::size_t k = 0; k < n; ++k)
        sum += static_cast<double>(x.at(i, static_cast<std::int64_t>(k))) * (transposed ? r[j * n + k] : r[k * n + j]);
      y.at(i, static_cast<std::int64_t>(j)) = static_cast<float>(sum);
    }
  return y;
}

// Values of order 1, sums of up to n rounded additions: 1e-5 is some 80 epsilons, a wrong sign is of order 1/sqrt n.
constexpr double tolerance = 1e-5;

void check_against_matrix(const FeatureTransform& f) {
  INFO(f.name());
  const Matrix x = test::gaussian(5, f.size(), 11, 3);
  const auto r = f.matrix();
  Matrix y = x;
  f.apply(y.view());
  CHECK(test::difference(y, dense_right(x, r)) < tolerance);
  CHECK(y.margin_kept());
  f.invert(y.view());
  CHECK(test::difference(y, x) < tolerance);
}

double orthogonality(const std::vector<double>& r, std::size_t n) {
  double worst = 0;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      double dot = 0;
      for (std::size_t k = 0; k < n; ++k) dot += r[i * n + k] * r[j * n + k];
      worst = std::max(worst, std::fabs(dot - (i == j)));
    }
  return worst;
}

}  // namespace

TEST_CASE("constructed base matrices are Hadamard matrices") {
  for (const std::int64_t n : {1,  2,  4,   8,   12,  20,  24,  28,  36,  40,  44,  52,  56,  60,  68,  72,  76, 84,
                               88, 96, 100, 104, 108, 112, 120, 124, 132, 140, 144, 148, 152, 160, 172, 180, 344}) {
    INFO("order " << n);
    const auto h = base_hadamard(n);
    REQUIRE(static_cast<std::int64_t>(h.size()) == n * n);
    bool signs = true;
    for (const int v : h) signs = signs && (v == 1 || v == -1);
    CHECK(signs);
    bool orthogonal = true;
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j < i; ++j) {
        std::int64_t dot = 0;
        for (std::int64_t k = 0; k < n; ++k)
          dot += h[static_cast<std::size_t>(i * n + k)] * h[static_cast<std::size_t>(j * n + k)];
        orthogonal = orthogonal && dot == 0;
      }
    CHECK(orthogonal);
  }
  CHECK(base_hadamard(700).size() == 490000);
  for (const std::int64_t n : {0, 3, 6, 14, 18, 92, 116, 156}) CHECK(base_hadamard(n).empty());
}

TEST_CASE("sizes of real models have the factorization of the specification") {
  const std::pair<std::int64_t, const char*> sizes[] = {
      {4096, "hadamard 1 x 4096"},   {11008, "hadamard 172 x 64"}, {5120, "hadamard 40 x 128"},
      {13824, "hadamard 108 x 128"}, {14336, "hadamard 28 x 512"}, {3072, "hadamard 12 x 256"},
      {896, "hadamard 28 x 32"},     {4864, "hadamard 76 x 64"},   {1536, "hadamard 12 x 128"},
      {8960, "hadamard 140 x 64"},   {3584, "hadamard 28 x 128"},  {18944, "hadamard 148 x 128"},
      {5632, "hadamard 44 x 128"},   {576, "hadamard 36 x 16"},    {960, "hadamard 60 x 16"},
      {2560, "hadamard 40 x 64"},    {1152, "hadamard 36 x 32"},   {4608, "hadamard 36 x 128"},
      {72, "hadamard 36 x 2"},       {2240, "hadamard 140 x 16"},  {5600, "hadamard 700 x 8"},
      {28672, "hadamard 28 x 1024"}, {24, "hadamard 12 x 2"},      {40, "hadamard 40 x 1"},
      {2304, "hadamard 36 x 64"},    {2880, "hadamard 180 x 16"},  {64, "hadamard 1 x 64"}};
  for (const auto& [n, name] : sizes) {
    REQUIRE(hadamard_exists(n));
    CHECK(hadamard(n)->name() == name);
  }
  for (const std::int64_t n : {0, 3, 9, 14, 15, 70, 90, 1001}) {
    CHECK_FALSE(hadamard_exists(n));
    CHECK(hadamard(n) == nullptr);
  }
}

TEST_CASE("hadamard agrees with its dense twin and is orthonormal") {
  for (const std::int64_t n : {1, 2, 4, 8, 12, 16, 20, 24, 28, 36, 40, 64, 72, 96, 128, 144, 172, 192, 224, 576, 896})
    check_against_matrix(*hadamard(n));
  for (const std::int64_t n : {12, 28, 72, 172, 192}) {
    const auto h = hadamard(n);
    CHECK(orthogonality(h->matrix(), static_cast<std::size_t>(n)) < 1e-12);
  }
  // Large ones: there and back, with the norm kept.
  for (const std::int64_t n : {1536, 5600, 11008, 14336}) {
    const auto h = hadamard(n);
    const Matrix x = test::gaussian(3, n, 2);
    Matrix y = x;
    h->apply(y.view());
    double before = 0, after = 0;
    for (std::int64_t j = 0; j < n; ++j) {
      before += std::pow(static_cast<double>(x.at(1, j)), 2);
      after += std::pow(static_cast<double>(y.at(1, j)), 2);
    }
    CHECK(after == Approx(before).epsilon(1e-5));
    CHECK(test::difference(y, x) > 0.1);
    h->invert(y.view());
    CHECK(test::difference(y, x) < tolerance);
  }
}

TEST_CASE("a rotation of activations and weights cancels") {
  for (const std::int64_t n : {36, 64, 172}) {
    Matrix x = test::gaussian(4, n, 1), w = test::gaussian(6, n, 2);
    Matrix before(4, 6), after(4, 6);
    plain_gemm(x.view(), w.view(), true, before.view());
    const auto r = randomized_hadamard(n, 5, "residual");
    r->apply(x.view());
    r->apply(w.view());
    plain_gemm(x.view(), w.view(), true, after.view());
    CHECK(test::difference(before, after) < 1e-4);  // products of order sqrt n
  }
}

TEST_CASE("random rotations are addressed and orthonormal") {
  for (const std::int64_t n : {1, 2, 9, 15, 64, 130}) {
    const auto q = random_orthogonal(n, 3, "heads", plain_gemm);
    CHECK(orthogonality(q->matrix(), static_cast<std::size_t>(n)) < 1e-12);
    check_against_matrix(*q);
    CHECK(q->matrix() == random_orthogonal(n, 3, "heads", plain_gemm)->matrix());
    if (n > 1) CHECK(q->matrix() != random_orthogonal(n, 4, "heads", plain_gemm)->matrix());
  }
  for (const std::int64_t n : {12, 64, 576}) {
    check_against_matrix(*randomized_hadamard(n, 1, "residual"));
    CHECK(randomized_hadamard(n, 1, "a")->matrix() != randomized_hadamard(n, 1, "b")->matrix());
    CHECK(orthogonality(randomized_hadamard(n, 1, "a")->matrix(), static_cast<std::size_t>(n)) < 1e-12);
  }
  CHECK(randomized_hadamard(14, 1, "x") == nullptr);
}

TEST_CASE("the random rotation is the Q of a QR with positive diagonal") {
  // Q^T A = R for the Gaussian A drawn with the same address: upper triangular, positive diagonal.
  const std::int64_t n = 7;
  const auto q = random_orthogonal(n, 21, "qr", plain_gemm)->matrix();
  const auto at = [n](std::int64_t i, std::int64_t j) { return static_cast<std::size_t>(i * n + j); };
  std::vector<double> a(q.size());
  for (std::int64_t j = 0; j < n; ++j) {
    RandomStream stream(21, "qr", static_cast<std::uint64_t>(j));
    for (std::int64_t i = 0; i < n; ++i) a[at(i, j)] = stream.normal();
  }
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      double r = 0;
      for (std::int64_t k = 0; k < n; ++k) r += q[at(k, i)] * a[at(k, j)];
      if (i > j) CHECK(std::fabs(r) < 1e-12);
      if (i == j) CHECK(r > 0);
    }
}

TEST_CASE("any invertible matrix") {
  // R = I + e_1 e_2^T + 2 e_3 e_1^T; its inverse by hand.
  const std::vector<double> r = {1, 1, 0, 0, 1, 0, 2, 0, 1}, inverse = {1, -1, 0, 0, 1, 0, -2, 2, 1};
  const auto d = dense("learned 3", 3, r, inverse, plain_gemm);
  CHECK(d->name() == "learned 3");
  CHECK(d->matrix() == r);
  check_against_matrix(*d);
  Matrix x(1, 3);
  for (std::int64_t j = 0; j < 3; ++j) x.at(0, j) = static_cast<float>(j + 1);
  d->apply(x.view());  // (1 2 3) R
  CHECK(std::vector<float>{x.at(0, 0), x.at(0, 1), x.at(0, 2)} == std::vector<float>{7, 3, 3});
  CHECK_THROWS_AS(dense("broken", 3, {1, 2}, inverse, plain_gemm), std::logic_error);
}

TEST_CASE("diagonal and kronecker") {
  check_against_matrix(*diagonal({1, -2, 0.5f, 4, 3}));
  const std::shared_ptr<const FeatureTransform> h4 = hadamard(4), q3 = random_orthogonal(3, 1, "k", plain_gemm),
                                                d5 = diagonal({1, 2, 3, 4, 5});
  check_against_matrix(*kronecker(h4, 4, q3, 3));
  check_against_matrix(*kronecker(nullptr, 6, h4, 4));
  check_against_matrix(*kronecker(h4, 4, nullptr, 5));
  check_against_matrix(*kronecker(d5, 5, h4, 4));
  CHECK_THROWS_AS(kronecker(h4, 5, nullptr, 2), std::logic_error);
  // H_nh (x) H_hd in two steps is the product of both (specification methods 6.3, second trap).
  const std::shared_ptr<const FeatureTransform> h12 = hadamard(12), h8 = hadamard(8);
  Matrix x = test::gaussian(3, 96, 4), y = x;
  kronecker(nullptr, 12, h8, 8)->apply(x.view());
  kronecker(h12, 12, nullptr, 8)->apply(x.view());
  kronecker(h12, 12, h8, 8)->apply(y.view());
  CHECK(test::difference(x, y) < tolerance);
}
