#include "training/cayley.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>

#include <algorithm>
#include <stdexcept>

#include "base/seed.h"

namespace stamp::training {
namespace {

constexpr int iterations = 5;
constexpr std::uint64_t one_in = 101;  // of the random re-orthogonalization

void expect_square(const at::Tensor& p) {
  if (p.dim() != 2 || p.size(0) != p.size(1) || p.scalar_type() != at::kDouble)
    throw std::logic_error("Cayley descent works on square float64 matrices");
}

at::Tensor unit_rows(const at::Tensor& p) {
  return p / at::linalg_vector_norm(p, 2, at::IntArrayRef{1}, /*keepdim=*/true);
}

}  // namespace

at::Tensor orthonormal_rows(const at::Tensor& p) {
  const auto [q, r] = at::linalg_qr(p.t(), "reduced");
  return (q * r.diagonal().sign()).t().contiguous();
}

double orthogonality_error(const at::Tensor& p) {
  return (at::matmul(p, p.t()) - at::eye(p.size(0), p.options())).abs().max().item<double>();
}

at::Tensor cayley_step(const at::Tensor& p, const at::Tensor& gradient, double rate, bool reorthogonalize) {
  expect_square(p);
  expect_square(gradient);
  at::Tensor u = unit_rows(p);
  if (reorthogonalize) u = orthonormal_rows(u);
  const at::Tensor x = u.t(), v = -gradient.t();
  at::Tensor a = at::matmul(v, u);
  a = a - 0.5 * at::matmul(x, at::matmul(u, a));
  const at::Tensor s = a - a.t();
  const double norm = s.abs().sum(0).max().item<double>();
  const double alpha = std::min(rate, 1 / (norm + 1e-8));
  at::Tensor y = x + alpha * v;
  for (int i = 0; i < iterations; ++i) y = x + alpha * at::matmul(s, 0.5 * (x + y));
  return y.t().contiguous();
}

at::Tensor CayleySgd::step(const at::Tensor& p, const at::Tensor& gradient, double rate, std::int64_t index) const {
  const bool chance = RandomStream(seed_, purpose_, static_cast<std::uint64_t>(index)).below(one_in) == 0;
  const at::Tensor moved = cayley_step(p, gradient, rate, chance);
  return orthogonality_error(moved) > tolerance ? orthonormal_rows(moved) : moved;
}

}  // namespace stamp::training
