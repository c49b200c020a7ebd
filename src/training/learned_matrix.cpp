#include "training/learned_matrix.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_inv.h>
#include <ATen/ops/linalg_solve.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "models/network.h"
#include "transforms/feature_transform.h"

namespace stamp::training {
namespace {

at::Tensor orthogonal(std::int64_t n, std::uint64_t seed, const std::string& purpose) {
  const std::vector<double> values = random_orthogonal(n, seed, purpose, torch_gemm)->matrix();
  at::Tensor out = at::empty({n, n}, at::TensorOptions(at::kDouble));
  std::copy(values.begin(), values.end(), out.data_ptr<double>());
  return out;
}

at::Tensor parameter(const at::Tensor& start) {
  return start.to(at::kFloat).contiguous().set_requires_grad(true);
}

}  // namespace

at::Tensor cayley_map(const at::Tensor& free) {
  const at::Tensor lower = free.tril(-1), half = (lower - lower.t()) / 2;
  const at::Tensor identity = at::eye(free.size(0), free.options());
  return at::linalg_solve(identity - half, identity + half);
}

LearnedMatrix::LearnedMatrix(std::int64_t n, Parametrization parametrization, std::uint64_t seed,
                             const std::string& purpose)
    : parametrization_(parametrization), left_(orthogonal(n, seed, purpose)) {
  if (parametrization == Parametrization::direct_inv) {
    parameters_ = {parameter(left_)};
    return;
  }
  right_ = orthogonal(n, seed, purpose + " right");
  const at::TensorOptions options(at::kFloat);
  parameters_ = {parameter(at::zeros({n, n}, options)), parameter(at::zeros({n, n}, options)),
                 parameter(at::ones({n}, options))};
}

LearnedMatrix::Pair LearnedMatrix::evaluate(bool in_double) const {
  const at::ScalarType type = in_double ? at::kDouble : at::kFloat;
  if (parametrization_ == Parametrization::direct_inv) {
    const at::Tensor matrix = parameters_[0].to(at::kDouble);
    return {matrix.to(type), at::linalg_inv(matrix).t().to(type)};
  }
  const at::Tensor u = at::matmul(left_.to(type), cayley_map(parameters_[0].to(type)));
  const at::Tensor vt = at::matmul(right_.to(type), cayley_map(parameters_[1].to(type))).t();
  const at::Tensor s = parameters_[2].to(type);
  return {at::matmul(u * s, vt), at::matmul(u / s, vt)};
}

LearnedMatrix::Pair LearnedMatrix::current() const {
  return evaluate(false);
}

LearnedMatrix::Pair LearnedMatrix::exact() const {
  const Pair pair = evaluate(true);
  return {pair.matrix.detach(), pair.inverse_transpose.detach()};
}

}  // namespace stamp::training
