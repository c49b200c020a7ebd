// Values against the quantizers of inference; gradients against a composition of LibTorch's own differentiable
// operations.
#include "training/fake_quantize.h"

#include <ATen/ops/clamp.h>
#include <ATen/ops/full.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/round.h>
#include <ATen/ops/sigmoid.h>

#include "models/network.h"
#include "quant/grid.h"
#include "support/catch.h"
#include "unit/training/tensors.h"

using namespace stamp;
using namespace stamp::training;

namespace {

at::Tensor round_through(const at::Tensor& x) {
  return x + (at::round(x) - x).detach();
}

// Specification 1.2 and 1.3, one scale for each row of x, in LibTorch's operations. `limits`: rows are clamped first.
at::Tensor composed(at::Tensor x, const FakeQuantize& how, const at::Tensor& low_factor, const at::Tensor& high_factor,
                    bool limits) {
  const double steps = static_cast<double>(steps_of(how.bits));
  at::Tensor low = std::get<0>(x.min(-1, true)), high = std::get<0>(x.max(-1, true));
  if (limits) {
    low = low * low_factor.unsqueeze(-1);
    high = high * high_factor.unsqueeze(-1);
    x = at::minimum(at::maximum(x, low), high);
    low = std::get<0>(x.min(-1, true));
    high = std::get<0>(x.max(-1, true));
  }
  low = low.clamp_max(0);
  high = high.clamp_min(0);
  if (!limits) {
    low = low * low_factor * how.clip;
    high = high * high_factor * how.clip;
  }
  if (how.symmetric) {
    const double half = std::floor(steps / 2);
    const at::Tensor delta = at::maximum(-low, high) / half;
    return delta * at::clamp(round_through(x / delta), half - steps, half);
  }
  const at::Tensor delta = (high - low) / steps, zero = round_through(-low / delta);
  return delta * (at::clamp(round_through(x / delta) + zero, 0, steps) - zero);
}

FakeQuantize settings(double bits, bool symmetric, double clip = 1) {
  FakeQuantize how;
  how.bits = bits;
  how.symmetric = symmetric;
  how.clip = clip;
  return how;
}

// A sum with different weights, so that no gradient cancels.
void backward(const at::Tensor& y, const at::Tensor& weights) {
  (y * weights).sum().backward();
}

// Gradients are sums of a row's terms in float32, in another order than LibTorch adds them.
constexpr double tolerance = 2e-5;

}  // namespace

TEST_CASE("fake quantization gives the values of inference") {
  for (const std::int64_t group : {0, 16, 24})
    for (const bool symmetric : {false, true})
      for (const double bits : {2.0, 4.0, 8.0, 16.0}) {
        const at::Tensor x = test::gaussian({6, 64}, 1);
        FakeQuantize how = settings(bits, symmetric, 0.95);
        how.group = group;
        at::Tensor low = at::full({1}, 0.9f), high = at::full({1}, 0.8f), expected = x.clone();
        Grid grid;
        grid.bits = bits;
        grid.symmetric = symmetric;
        grid.clip = 0.95;
        grid.clip_low = static_cast<double>(0.9f);
        grid.clip_high = static_cast<double>(0.8f);
        grid.group = group;
        fake_quantize_rows(const_view(x), grid, view(expected));
        CHECK(test::largest_of(fake_quantize(x, how, low, high) - expected) == 0);
        CHECK(test::largest_of(fake_quantize(x.reshape({2, 3, 64}), how, low, high).reshape({6, 64}) - expected) == 0);
      }
}

TEST_CASE("a clamped weight, rounded by min-max, is the trained one") {
  for (const bool symmetric : {false, true}) {
    const at::Tensor w = test::gaussian({20, 48}, 2);
    const at::Tensor low = at::sigmoid(test::gaussian({20}, 3)), high = at::sigmoid(test::gaussian({20}, 4));
    const FakeQuantize how = settings(4, symmetric);
    at::Tensor folded = clamp_rows(w, low, high);
    CHECK(test::largest_of(folded - w) > 0.1);
    WeightGrid grid;
    grid.symmetric = symmetric;
    grid.clip_search = false;
    stamp::fake_quantize_weight(view(folded), grid);
    CHECK(test::largest_of(training::fake_quantize_weight(w, how, low, high) - folded) == 0);
    at::Tensor plain = w.clone();
    stamp::fake_quantize_weight(view(plain), grid);
    CHECK(test::largest_of(training::fake_quantize_weight(w, how) - plain) == 0);
  }
}

TEST_CASE("gradients of activations are those of the formulas with a straight-through round") {
  for (const bool symmetric : {false, true})
    for (const double bits : {2.0, 4.0, 8.0})
      for (const double shift : {0.0, 5.0, -5.0}) {  // all values of one sign: the other end of the range is zero
        INFO("symmetric " << symmetric << ", " << bits << " bits, shift " << shift);
        const at::Tensor values = test::gaussian({30, 70}, 5) + shift, weights = test::gaussian({30, 70}, 6);
        const FakeQuantize how = settings(bits, symmetric, 0.97);
        const at::Tensor x = test::leaf(values), low = test::leaf(at::full({1}, 0.7f)),
                         high = test::leaf(at::full({1}, 0.6f));
        const at::Tensor x2 = test::leaf(values), low2 = test::leaf(low), high2 = test::leaf(high);
        backward(fake_quantize(x, how, low, high), weights);
        backward(composed(x2, how, low2, high2, false), weights);
        CHECK(test::relative_distance(x.grad(), x2.grad()) < tolerance);
        const double scale = std::max(test::largest_of(low2.grad()), test::largest_of(high2.grad()));
        CHECK(test::largest_of(low.grad() - low2.grad()) < 10 * tolerance * scale);
        CHECK(test::largest_of(high.grad() - high2.grad()) < 10 * tolerance * scale);
        CHECK(scale > 1e-3);
      }
}

TEST_CASE("gradients of weights are those of the formulas with a straight-through round") {
  for (const bool symmetric : {false, true})
    for (const double shift : {0.0, 5.0, -5.0}) {
      INFO("symmetric " << symmetric << ", shift " << shift);
      const at::Tensor values = test::gaussian({30, 70}, 7) + shift, weights = test::gaussian({30, 70}, 8);
      const FakeQuantize how = settings(4, symmetric);
      const at::Tensor factors = at::sigmoid(test::gaussian({30}, 9) + 1);
      const at::Tensor x = test::leaf(values), low = test::leaf(factors), high = test::leaf(factors.flip(0));
      const at::Tensor x2 = test::leaf(values), low2 = test::leaf(low), high2 = test::leaf(high);
      backward(training::fake_quantize_weight(x, how, low, high), weights);
      backward(composed(x2, how, low2, high2, true), weights);
      CHECK(test::relative_distance(x.grad(), x2.grad()) < tolerance);
      const double scale = std::max(test::largest_of(low2.grad()), test::largest_of(high2.grad()));
      CHECK(test::largest_of(low.grad() - low2.grad()) < 10 * tolerance * scale);
      CHECK(test::largest_of(high.grad() - high2.grad()) < 10 * tolerance * scale);
      CHECK(scale > 1e-3);
    }
}

TEST_CASE("the identity gradient, groups, and groups that hold no number") {
  FakeQuantize how = settings(4, false);
  how.gradient = StraightThrough::identity;
  const at::Tensor weights = test::gaussian({4, 32}, 10), x = test::leaf(test::gaussian({4, 32}, 11));
  backward(fake_quantize(x, how), weights);
  CHECK(test::largest_of(x.grad() - weights) == 0);

  // Groups of 8 are rows of 8.
  how.gradient = StraightThrough::range;
  const at::Tensor narrow = test::leaf(x.reshape({16, 8})), wide = test::leaf(x);
  backward(fake_quantize(narrow, how), weights.reshape({16, 8}));
  how.group = 8;
  backward(fake_quantize(wide, how), weights);
  CHECK(test::largest_of(wide.grad() - narrow.grad().reshape({4, 32})) == 0);

  at::Tensor broken = test::gaussian({2, 8}, 12);
  broken.data_ptr<float>()[3] = INFINITY;
  const at::Tensor y = fake_quantize(broken, settings(4, false));
  CHECK(std::isnan(y.select(0, 0).sum().item<double>()));
  CHECK(!std::isnan(y.select(0, 1).sum().item<double>()));
  for (const bool clamp : {false, true}) {
    const at::Tensor x3 = test::leaf(broken);
    const FakeQuantize four = settings(4, false);
    backward(clamp ? training::fake_quantize_weight(x3, four) : fake_quantize(x3, four), test::gaussian({2, 8}, 14));
    CHECK(std::isnan(x3.grad().select(0, 0).sum().item<double>()));
    CHECK(!std::isnan(x3.grad().select(0, 1).sum().item<double>()));
  }

  const at::Tensor zero = test::leaf(at::full({2, 8}, 0.0f));
  backward(fake_quantize(zero, settings(4, true)), weights.reshape({16, 8}).slice(0, 0, 2));
  CHECK(test::largest_of(zero.grad()) == 0);
}

TEST_CASE("clip factors of a wrong number are refused") {
  const at::Tensor x = test::gaussian({4, 8}, 13);
  CHECK_THROWS_AS(fake_quantize(x, {}, at::full({2}, 1.0f), {}), std::logic_error);
  CHECK_THROWS_AS(training::fake_quantize_weight(x, {}, at::full({3}, 1.0f), {}), std::logic_error);
}
