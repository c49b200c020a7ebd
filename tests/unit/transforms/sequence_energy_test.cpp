// Energy in the first rows for an AR(1) token process, from its covariance and without sampling: specification
// methods 2.3, the table of regression targets.
#include <numbers>

#include "support/catch.h"
#include "support/matrices.h"
#include "transforms/sequence_transform.h"

using namespace stamp;
using test::Matrix;

namespace {

// S = C C^T with S_ij = rho^|i-j|; energy of row i of L X is (L S L^T)_ii, the squared norm of row i of L C.
Matrix covariance_root(std::int64_t s, double rho) {
  Matrix c(s, s);
  for (std::int64_t i = 0; i < s; ++i)
    for (std::int64_t j = 0; j < s; ++j) {
      const double innovation = j == 0 ? 1.0 : std::sqrt(1 - rho * rho);
      c.at(i, j) = j > i ? 0.0f : static_cast<float>(std::pow(rho, static_cast<double>(i - j)) * innovation);
    }
  return c;
}

double share_of_first(const std::string& name, Json levels, std::int64_t k, const Matrix& root) {
  SequenceTransformRequest request;
  request.tokens = root.rows;
  if (!levels.is_null()) request.options["levels"] = levels;
  Matrix t = root;
  transform_forward(*make_sequence_transform(name, request), t.view());
  double first = 0, all = 0;
  for (std::int64_t i = 0; i < t.rows; ++i)
    for (std::int64_t j = 0; j < t.cols; ++j) {
      const double e = static_cast<double>(t.at(i, j)) * static_cast<double>(t.at(i, j));
      all += e;
      if (i < k) first += e;
    }
  return first / all;
}

// Eigenvalues of S are (1 - rho^2) / (1 - 2 rho cos w + rho^2) at the roots w of sin((s+1)w) - 2 rho sin(s w) +
// rho^2 sin((s-1)w), one in each ((i-1) pi / (s+1), i pi / (s+1)).
double klt_share(std::int64_t s, double rho, std::int64_t k) {
  const auto n = static_cast<double>(s);
  const auto f = [&](double w) {
    return std::sin((n + 1) * w) - 2 * rho * std::sin(n * w) + rho * rho * std::sin((n - 1) * w);
  };
  double sum = 0;
  for (std::int64_t i = 1; i <= k; ++i) {
    double low = (static_cast<double>(i) - 1 + 1e-9) * std::numbers::pi / (n + 1);
    double high = static_cast<double>(i) * std::numbers::pi / (n + 1);
    const bool rising = f(low) < 0;
    for (int step = 0; step < 100; ++step) {
      const double middle = (low + high) / 2;
      ((f(middle) < 0) == rising ? low : high) = middle;
    }
    sum += (1 - rho * rho) / (1 - 2 * rho * std::cos(low) + rho * rho);
  }
  return sum / n;
}

}  // namespace

TEST_CASE("energy compaction of AR(1) tokens matches the published table") {
  struct Row {
    double rho, haar3, haar5, full, dct, klt;
  };
  const Row rows[] = {{.80, .1512, .2422, .2422, .2643, .2648},
                      {.90, .1933, .4240, .4240, .4766, .4772},
                      {.95, .2195, .6203, .6203, .6922, .6925},
                      {.99, .2435, .9010, .9010, .9346, .9346}};
  constexpr double printed = 0.6e-4;  // four digits, and float32
  for (const Row& r : rows) {
    INFO("rho " << r.rho);
    const Matrix root = covariance_root(2048, r.rho);
    CHECK(share_of_first("identity", nullptr, 64, root) == Approx(64.0 / 2048).margin(1e-6));
    CHECK(share_of_first("haar", 3, 64, root) == Approx(r.haar3).margin(printed));
    CHECK(share_of_first("haar", 5, 64, root) == Approx(r.haar5).margin(printed));
    CHECK(share_of_first("haar", 11, 64, root) == Approx(r.full).margin(printed));
    CHECK(share_of_first("wht", nullptr, 64, root) == Approx(r.full).margin(printed));
    const double dct = share_of_first("dct", nullptr, 64, root), klt = klt_share(2048, r.rho, 64);
    CHECK(dct == Approx(r.dct).margin(printed));
    CHECK(klt == Approx(r.klt).margin(printed));
    CHECK(dct <= klt + 1e-6);
  }
}

TEST_CASE("levels: auto takes five levels for 2048 tokens and 64 high rows") {
  const Matrix root = covariance_root(2048, .9);
  SequenceTransformRequest request;
  request.tokens = 2048;
  request.high_tokens = 64;
  request.options["levels"] = nullptr;
  Matrix t = root, five = root;
  transform_forward(*make_sequence_transform("haar", request), t.view());
  request.options["levels"] = 5;
  transform_forward(*make_sequence_transform("haar", request), five.view());
  CHECK(test::difference(t, five) == 0);
}
