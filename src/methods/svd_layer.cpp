#include "methods/svd_layer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/linalg_qr.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/seed.h"
#include "models/network.h"

namespace stamp::svd {
namespace {

constexpr std::int64_t spare_directions = 8;  // of the iteration on a subspace, beyond the rank

at::Tensor vector_of(const std::vector<double>& values) {
  at::Tensor out = at::empty({static_cast<std::int64_t>(values.size())}, at::TensorOptions(at::kDouble));
  std::copy(values.begin(), values.end(), out.data_ptr<double>());
  return out;
}

std::vector<double> largest_by_column(const at::Tensor& m) {
  const at::Tensor top = m.abs().t().amax(1).to(at::kDouble).contiguous();
  return {top.const_data_ptr<double>(), top.const_data_ptr<double>() + top.numel()};
}

at::Tensor leading_eigenvectors(const at::Tensor& gram, std::int64_t r) {
  return std::get<1>(at::linalg_eigh(gram)).narrow(1, gram.size(0) - r, r);  // smallest first
}

// Orthonormal columns that span the r leading left singular directions of m, nearly: two rounds of the power method.
at::Tensor nearly_leading(const at::Tensor& m, std::int64_t r) {
  at::Tensor start = at::empty({m.size(1), r + spare_directions}, at::TensorOptions(at::kDouble));
  RandomStream stream(0, "svdquant subspace");
  for (std::int64_t i = 0; i < start.numel(); ++i) start.data_ptr<double>()[i] = stream.normal();
  at::Tensor q = std::get<0>(at::linalg_qr(m.matmul(start)));
  for (int round = 0; round < 2; ++round) q = std::get<0>(at::linalg_qr(m.matmul(m.t().matmul(q))));
  const at::Tensor small = q.t().matmul(m);
  return q.matmul(leading_eigenvectors(small.matmul(small.t()), r));
}

// down with orthonormal rows, up = U S: the best approximation of rank r, in double.
std::pair<at::Tensor, at::Tensor> leading(const at::Tensor& m, std::int64_t r, bool quick) {
  if (m.size(0) >= m.size(1)) {
    const bool nearly = quick && m.size(1) > 8 * (r + spare_directions);
    const at::Tensor v = nearly ? nearly_leading(m.t(), r) : leading_eigenvectors(m.t().matmul(m), r);
    return {v.t(), m.matmul(v)};
  }
  auto [up, down] = leading(m.t(), r, quick);  // (U)^T, V S of the transposed
  const at::Tensor size = down.square().sum(0).sqrt().clamp_min(std::numeric_limits<double>::min());
  return {down.t().div(size.unsqueeze(1)), up.t().mul(size)};
}

at::Tensor in_16_bit(const at::Tensor& values) {
  return values.to(at::kHalf).to(at::kFloat).contiguous();
}

}  // namespace

std::vector<Exponents> candidates(std::int64_t n) {
  std::vector<Exponents> all{{0, 0}};
  const auto share = [n](std::int64_t i) { return static_cast<double>(i) / static_cast<double>(n); };
  for (std::int64_t i = 1; i < n; ++i) all.push_back({share(i), 0});
  for (std::int64_t i = 1; i < n; ++i) all.push_back({share(i), 1 - share(i)});
  return all;
}

std::vector<double> smoothing(const std::vector<double>& activation, const std::vector<double>& weight, Exponents e) {
  std::vector<double> factors(activation.size());
  for (std::size_t j = 0; j < factors.size(); ++j) {
    const double f = std::pow(activation[j], e.alpha) / std::pow(weight[j], e.beta);
    factors[j] = std::isfinite(f) && f > 0 ? f : 1;
  }
  return factors;
}

Split split(const at::Tensor& weight, const at::Tensor& x, const at::Tensor& target, const Settings& settings,
            std::int64_t iterations, bool quick) {
  const std::int64_t rank = std::min({settings.rank, weight.size(0), weight.size(1)});
  at::Tensor rounded_x = x.clone();
  if (settings.activations.bits < 16) fake_quantize_rows(const_view(x), settings.activations, view(rounded_x));
  const at::Tensor exact = weight.to(at::kDouble);
  at::Tensor left = exact;  // what the low-rank part should hold
  Split best;
  best.error = std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < iterations; ++i) {
    const auto [down, up] = leading(left, rank, quick);
    Split now;
    now.down = in_16_bit(down);
    now.up = in_16_bit(up);
    now.residual = (exact - now.up.to(at::kDouble).matmul(now.down.to(at::kDouble))).to(at::kFloat).contiguous();
    at::Tensor rounded = now.residual.clone();
    if (settings.weights.bits < 16) fake_quantize_weight(view(rounded), settings.weights);
    const at::Tensor output = rounded_x.matmul(rounded.t()) + x.matmul(now.down.t()).matmul(now.up.t());
    now.error = (output - target).to(at::kDouble).square().sum().item<double>();
    now.iterations = i + 1;
    if (i > 0 && !(now.error < best.error)) break;
    best = std::move(now);
    left = exact - rounded.to(at::kDouble);
  }
  return best;
}

Choice search(const at::Tensor& weight, const at::Tensor& x, const Settings& settings) {
  const std::vector<double> ax = largest_by_column(x), aw = largest_by_column(weight);
  const at::Tensor target = x.matmul(weight.t());
  const auto smoothed = [&](const std::vector<double>& factors, std::int64_t iterations, bool quick) {
    const at::Tensor f = vector_of(factors);
    return split(weight.to(at::kDouble).mul(f).to(at::kFloat).contiguous(),
                 x.to(at::kDouble).div(f).to(at::kFloat).contiguous(), target, settings, iterations, quick);
  };
  Choice choice;
  double least = std::numeric_limits<double>::infinity();
  for (const Exponents e : candidates(settings.grid)) {
    std::vector<double> factors = smoothing(ax, aw, e);
    const double error = smoothed(factors, 1, true).error;
    if (!choice.factors.empty() && !(error < least)) continue;
    least = error;
    choice.exponents = e;
    choice.factors = std::move(factors);
  }
  choice.best = smoothed(choice.factors, settings.iterations, false);
  return choice;
}

}  // namespace stamp::svd
