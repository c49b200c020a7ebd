// SVDQuant's search and split against obvious ones. Specification methods 9.
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_svd.h>

#include <cmath>
#include <limits>

#include "base/seed.h"
#include "methods/svd_layer.h"
#include "models/network.h"
#include "support/catch.h"

using namespace stamp;

namespace {

at::Tensor random_matrix(std::int64_t rows, std::int64_t cols, const std::string& purpose) {
  at::Tensor out = at::empty({rows, cols}, at::TensorOptions(at::kFloat));
  RandomStream stream(9, purpose);
  for (std::int64_t i = 0; i < out.numel(); ++i) out.data_ptr<float>()[i] = static_cast<float>(stream.normal());
  return out;
}

// A few channels are much larger than the others, as in a transformer.
at::Tensor inputs(std::int64_t n, std::int64_t d) {
  at::Tensor x = random_matrix(n, d, "x");
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < d; j += 11) view(x).row(i)[j] *= 25;
  return x;
}

svd::Settings four_bits() {
  svd::Settings s;
  s.rank = 4;
  s.weights.bits = s.activations.bits = 4;
  s.weights.symmetric = s.activations.symmetric = true;
  s.weights.clip_search = false;
  s.weights.group = s.activations.group = 16;
  return s;
}

at::Tensor rounded_rows(const at::Tensor& x, const svd::Settings& s) {
  at::Tensor out = x.clone();
  fake_quantize_rows(const_view(x), s.activations, view(out));
  return out;
}
at::Tensor rounded_weight(const at::Tensor& w, const svd::Settings& s) {
  at::Tensor out = w.clone();
  fake_quantize_weight(view(out), s.weights);
  return out;
}
double squares(const at::Tensor& a) {
  return a.to(at::kDouble).square().sum().item<double>();
}
at::Tensor sum_of(const svd::Split& s) {
  return s.residual.to(at::kDouble) + s.up.to(at::kDouble).matmul(s.down.to(at::kDouble));
}

}  // namespace

TEST_CASE("there are 39 candidates on the published grid") {
  const auto all = svd::candidates(20);
  REQUIRE(all.size() == 39);
  CHECK((all[0].alpha == 0 && all[0].beta == 0));
  CHECK((all[19].alpha == 0.95 && all[19].beta == 0));
  CHECK((all[20].alpha == 0.05 && all[20].beta == 0.95));
}

TEST_CASE("one split is the truncated singular value decomposition, of tall and of wide weights") {
  svd::Settings s = four_bits();
  s.weights.bits = s.activations.bits = 16;
  for (const auto& [m, d] : std::vector<std::pair<std::int64_t, std::int64_t>>{{40, 24}, {24, 40}, {32, 32}}) {
    const at::Tensor w = random_matrix(m, d, "w"), x = inputs(20, d);
    const svd::Split split = svd::split(w, x, x.matmul(w.t()), s, 1);
    const at::Tensor values = std::get<1>(at::linalg_svd(w.to(at::kDouble), false));
    // What is left has the energy of the other singular values; 16-bit factors move it by 2^-11 at most.
    CHECK(squares(split.residual) == Approx(squares(values.slice(0, 4))).epsilon(1e-3));
    CHECK((sum_of(split) - w).abs().max().item<double>() < 1e-6);
    CHECK(split.down.size(0) == 4);
    CHECK(split.up.size(0) == m);
  }
}

TEST_CASE("the approximate directions of the search are as good as the exact ones where they are used") {
  svd::Settings s = four_bits();
  // Singular values that fall off, as those of trained weights do.
  at::Tensor w =
      random_matrix(200, 12, "left").matmul(random_matrix(12, 160, "right")) * 0.3f + random_matrix(200, 160, "rest");
  const at::Tensor x = inputs(32, 160), target = x.matmul(w.t());
  const double exact = squares(svd::split(w, x, target, s, 1).residual);
  const double quick = squares(svd::split(w, x, target, s, 1, true).residual);
  CHECK(quick >= exact * (1 - 1e-3));
  CHECK(quick <= exact * 1.01);
}

TEST_CASE("the error of a split is that of the layer, and less than plain rounding's") {
  const svd::Settings s = four_bits();
  const at::Tensor w = random_matrix(48, 32, "w"), x = inputs(64, 32), target = x.matmul(w.t());
  const svd::Split split = svd::split(w, x, target, s, 100);
  const at::Tensor output =
      rounded_rows(x, s).matmul(rounded_weight(split.residual, s).t()) + x.matmul(split.down.t()).matmul(split.up.t());
  CHECK(split.error == Approx(squares(output - target)).epsilon(1e-4));
  CHECK(split.error < squares(rounded_rows(x, s).matmul(rounded_weight(w, s).t()) - target));
  CHECK(squares(rounded_weight(split.residual, s) - split.residual) < squares(rounded_weight(w, s) - w));
  CHECK(split.error <= svd::split(w, x, target, s, 1).error);
  CHECK((sum_of(split) - w).abs().max().item<double>() < 1e-6);
}

TEST_CASE("at high bits nothing is lost") {
  svd::Settings s = four_bits();
  s.weights.bits = s.activations.bits = 16;
  const at::Tensor w = random_matrix(48, 32, "w"), x = inputs(64, 32), target = x.matmul(w.t());
  CHECK(svd::split(w, x, target, s, 1).error <= 1e-10 * squares(target));
}

TEST_CASE("the search finds what trying every candidate by hand finds") {
  for (const std::int64_t d : {16, 32}) {
    svd::Settings s = four_bits();
    s.grid = 8;
    const at::Tensor w = random_matrix(24, d, "w"), x = inputs(40, d), target = x.matmul(w.t());
    double least = std::numeric_limits<double>::infinity();
    svd::Exponents best;
    for (const svd::Exponents e : svd::candidates(s.grid)) {
      at::Tensor ws = w.clone(), xs = x.clone();
      for (std::int64_t j = 0; j < d; ++j) {
        const double ax = x.select(1, j).abs().max().item<double>(), aw = w.select(1, j).abs().max().item<double>();
        const double f = std::pow(ax, e.alpha) / std::pow(aw, e.beta);
        ws.select(1, j).mul_(f);
        xs.select(1, j).div_(f);
      }
      const auto [u, values, vt] = at::linalg_svd(ws.to(at::kDouble), false);
      const at::Tensor low = u.slice(1, 0, 4).mul(values.slice(0, 0, 4)).matmul(vt.slice(0, 0, 4)).to(at::kFloat);
      const at::Tensor output =
          rounded_rows(xs, s).matmul(rounded_weight((ws - low).contiguous(), s).t()) + xs.matmul(low.t());
      if (const double error = squares(output - target); error < least) {
        least = error;
        best = e;
      }
    }
    const svd::Choice choice = svd::search(w, x, s);
    CHECK(choice.exponents.alpha == best.alpha);
    CHECK(choice.exponents.beta == best.beta);
    CHECK(choice.best.error <= least * 1.01);
    CHECK(choice.best.error < squares(rounded_rows(x, s).matmul(rounded_weight(w, s).t()) - target));
  }
}

TEST_CASE("channels that are never used keep their scale") {
  const std::vector<double> f = svd::smoothing({0, 2, 4}, {1, 0, 4}, {0.5, 0.5});
  CHECK(f[0] == 1);
  CHECK(f[1] == 1);
  CHECK(f[2] == 1);
  CHECK(svd::smoothing({4}, {9}, {0.5, 0.5})[0] == Approx(2.0 / 3));
}
