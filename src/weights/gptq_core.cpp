#include "weights/gptq_core.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/flip.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/linalg_solve_triangular.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "base/error.h"
#include "weights/gptq_columns.h"

namespace stamp {
namespace {

std::vector<std::int64_t> in_turn(std::int64_t n) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

bool reorders(const std::vector<std::int64_t>& order) {
  return !std::is_sorted(order.begin(), order.end());
}

// Channels with the largest diagonal first; equal ones as they stand.
std::vector<std::int64_t> by_activation(const std::vector<double>& diagonal) {
  std::vector<std::int64_t> order = in_turn(static_cast<std::int64_t>(diagonal.size()));
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return diagonal[static_cast<std::size_t>(a)] > diagonal[static_cast<std::size_t>(b)];
  });
  return order;
}

// The Hessian with its channels in the opposite of `order`.
at::Tensor reversed(const std::vector<double>& hessian, const std::vector<std::int64_t>& order) {
  const auto d = static_cast<std::int64_t>(order.size());
  at::Tensor out = at::empty({d, d}, at::TensorOptions(at::kDouble));
  double* to = out.data_ptr<double>();
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < d; ++i) {
    const double* from = hessian.data() + order[static_cast<std::size_t>(d - 1 - i)] * d;
    for (std::int64_t j = 0; j < d; ++j) to[i * d + j] = from[order[static_cast<std::size_t>(d - 1 - j)]];
  }
  return out;
}

// Undefined where the matrix is not positive definite.
at::Tensor lower_factor(const at::Tensor& matrix) {
  auto [lower, info] = at::linalg_cholesky_ex(matrix);
  return info.item<int>() == 0 ? lower : at::Tensor();
}

// The same rows with the channels of the second dimension put in another order.
at::Tensor take_columns(const at::Tensor& matrix, const std::vector<std::int64_t>& order) {
  if (!reorders(order)) return matrix;
  auto* data = const_cast<std::int64_t*>(order.data());
  return at::index_select(matrix, 1,
                          at::from_blob(data, {static_cast<std::int64_t>(order.size())}, at::TensorOptions(at::kLong)));
}

std::vector<std::int64_t> inverse(const std::vector<std::int64_t>& order) {
  std::vector<std::int64_t> back(order.size());
  for (std::size_t p = 0; p < order.size(); ++p)
    back[static_cast<std::size_t>(order[p])] = static_cast<std::int64_t>(p);
  return back;
}

// Scales of all groups of neighbouring channels from the weights as they are.
GptqScales fixed_scales(std::span<const at::Tensor> weights, std::int64_t group, std::int64_t padded_rows,
                        const WeightGrid& grid) {
  const std::int64_t d = weights[0].size(1), groups = (d + group - 1) / group;
  GptqScales scales(groups, padded_rows);
  std::int64_t first = 0;
  std::atomic<bool> finite = true;
  for (const at::Tensor& w : weights) {
    const float* values = w.const_data_ptr<float>();
    const std::int64_t rows = w.size(0);
#pragma omp parallel for schedule(dynamic, 8)
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t g = 0; g < groups; ++g) {
        const std::int64_t from = g * group, n = std::min(group, d - from);
        if (!scales.set(g, first + r, {values + r * d + from, static_cast<std::size_t>(n)}, grid)) finite = false;
      }
    first += rows;
  }
  if (!finite) throw TrialError("weights", "a weight is NaN or infinite");
  return scales;
}

void check_finite(std::span<const at::Tensor> weights) {
  std::atomic<bool> finite = true;
  for (const at::Tensor& w : weights) {
    const float* values = w.const_data_ptr<float>();
#pragma omp parallel for schedule(static)
    for (std::int64_t i = 0; i < w.numel(); ++i)
      if (!std::isfinite(values[i])) finite = false;
  }
  if (!finite) throw TrialError("weights", "a weight is NaN or infinite");
}

// The end of the block that begins at `begin`: a dynamic group that does not fit has to begin a block, since its scales
// need all its channels to be up to date.
std::int64_t block_end(std::int64_t begin, std::int64_t inputs, std::int64_t block, std::int64_t dynamic_group) {
  const std::int64_t end = std::min(begin + block, inputs);
  if (dynamic_group <= 0) return end;
  const std::int64_t last = (end - 1) / dynamic_group * dynamic_group;
  return last > begin && std::min(last + dynamic_group, inputs) > end ? last : end;
}

}  // namespace

GptqFactor gptq_factor(std::vector<double> hessian, const GptqSettings& settings) {
  const auto d = static_cast<std::int64_t>(std::llround(std::sqrt(static_cast<double>(hessian.size()))));
  if (d < 1 || static_cast<std::size_t>(d * d) != hessian.size())
    throw std::logic_error("gptq_factor: the Hessian is not square");
  GptqFactor factor;
  std::vector<double> diagonal(static_cast<std::size_t>(d));
  for (std::int64_t j = 0; j < d; ++j) {
    double& h = hessian[static_cast<std::size_t>(j * d + j)];
    if (!std::isfinite(h))
      throw TrialError("calibration", "the activations of input channel " + std::to_string(j) +
                                          " are NaN or infinite in the calibration data");
    if (h == 0) {
      h = 1;
      factor.dead.push_back(j);
    }
    diagonal[static_cast<std::size_t>(j)] = h;
  }
  factor.order = settings.act_order ? by_activation(diagonal) : in_turn(d);
  at::Tensor matrix = reversed(hessian, factor.order);
  hessian = {};

  const double mean = std::accumulate(diagonal.begin(), diagonal.end(), 0.0) / static_cast<double>(d);
  // Without any damping to raise, what is tried starts from the usual amount.
  const double raise = 0.1 * (settings.percdamp > 0 ? settings.percdamp : GptqSettings{}.percdamp);
  factor.damping = settings.percdamp;
  matrix.diagonal().add_(settings.percdamp * mean);
  at::Tensor lower = lower_factor(matrix);
  for (; !lower.defined() && factor.retries < settings.damping_retries; ++factor.retries) {
    factor.damping += raise;
    matrix.diagonal().add_(raise * mean);
    lower = lower_factor(matrix);
  }
  if (!lower.defined())
    throw TrialError("calibration", "the Hessian of " + std::to_string(d) +
                                        " input channels is not positive definite, also not with a damping of " +
                                        std::to_string(factor.damping) + " means of its diagonal after " +
                                        std::to_string(factor.retries) +
                                        " retries: more calibration tokens or a larger percdamp may help");
  matrix.reset();
  const at::Tensor inverted = at::linalg_solve_triangular(lower, at::eye(d, lower.options()), /*upper=*/false);
  lower.reset();
  factor.upper = at::flip(inverted, {0, 1}).to(at::kFloat).contiguous();  // LAPACK's results lie column by column
  return factor;
}

double gptq_quantize(std::span<at::Tensor> weights, const GptqFactor& factor, const GptqSettings& settings) {
  const auto d = static_cast<std::int64_t>(factor.order.size());
  std::int64_t rows = 0;
  for (const at::Tensor& w : weights) {
    if (w.dim() != 2 || w.size(1) != d || !w.is_contiguous() || w.scalar_type() != at::kFloat)
      throw std::logic_error("gptq_quantize: a weight is not m x d float32, contiguous");
    rows += w.size(0);
  }
  if (settings.grid.bits >= 16) throw std::logic_error("gptq_quantize: 16 bits are not quantized");
  if (rows == 0) return 0;
  const std::int64_t padded = (rows + gptq_lanes - 1) / gptq_lanes * gptq_lanes;
  const std::int64_t group = settings.grid.group > 0 ? std::min(settings.grid.group, d) : d;
  const bool dynamic = settings.grid.group > 0 && !settings.static_groups;

  std::vector<std::int64_t> group_of(factor.order.size());
  for (std::size_t p = 0; p < group_of.size(); ++p)
    group_of[p] = (dynamic ? static_cast<std::int64_t>(p) : factor.order[p]) / group;
  if (dynamic) check_finite(weights);
  GptqScales scales =
      dynamic ? GptqScales((d + group - 1) / group, padded) : fixed_scales(weights, group, padded, settings.grid);

  at::Tensor transposed = at::zeros({d, padded});
  std::int64_t first = 0;
  for (const at::Tensor& w : weights) {
    transposed.narrow(1, first, w.size(0)).copy_(take_columns(w, factor.order).t());
    first += w.size(0);
  }
  const std::vector<std::int64_t> position = inverse(factor.order);
  for (const std::int64_t j : factor.dead) transposed.select(0, position[static_cast<std::size_t>(j)]).zero_();

  GptqColumns layer{transposed.data_ptr<float>(),
                    d,
                    rows,
                    padded,
                    factor.upper.const_data_ptr<float>(),
                    group_of,
                    dynamic ? group : 0,
                    settings.grid};
  const std::int64_t block = std::clamp<std::int64_t>(settings.block_size, 1, d);
  at::Tensor errors = at::empty({block, padded});
  double loss = 0;
  for (std::int64_t begin = 0, end = 0; begin < d; begin = end) {
    end = block_end(begin, d, block, layer.dynamic_group);
    loss += gptq_quantize_columns(layer, begin, end, scales, errors.data_ptr<float>());
    if (end == d) break;
    at::Tensor rest = transposed.narrow(0, end, d - end);
    const at::Tensor spread = factor.upper.narrow(0, begin, end - begin).narrow(1, end, d - end);
    at::addmm_out(rest, rest, spread.t(), errors.narrow(0, 0, end - begin), 1, -1);
  }

  first = 0;
  for (at::Tensor& w : weights) {
    w.copy_(take_columns(transposed.narrow(1, first, w.size(0)).t(), position));
    first += w.size(0);
  }
  return loss;
}

}  // namespace stamp
