#include "weights/gptq_core.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/flip.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/linalg_solve_triangular.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
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

// Scales of all groups of neighbouring channels from the weights as they are.
GptqScales fixed_scales(std::span<const MatrixView> weights, std::int64_t group, std::int64_t padded_rows,
                        const WeightGrid& grid) {
  const std::int64_t d = weights[0].cols, groups = (d + group - 1) / group;
  GptqScales scales(groups, padded_rows);
  std::int64_t first = 0;
  for (const MatrixView& w : weights) {
#pragma omp parallel for schedule(dynamic, 8)
    for (std::int64_t r = 0; r < w.rows; ++r)
      for (std::int64_t g = 0; g < groups; ++g) {
        const std::int64_t from = g * group, n = std::min(group, d - from);
        scales.set(g, first + r, {w.row(r) + from, static_cast<std::size_t>(n)}, grid);
      }
    first += w.rows;
  }
  return scales;
}

void check_finite(const MatrixView& w) {
  bool finite = true;
#pragma omp parallel for schedule(static) reduction(&& : finite)
  for (std::int64_t r = 0; r < w.rows; ++r)
    finite = finite && std::all_of(w.row(r), w.row(r) + w.cols, [](float v) { return std::isfinite(v); });
  if (!finite) throw TrialError("weights", "a weight is NaN or infinite");
}

// Rows of `transposed`, from column `first` on: channel order[p] of the weight in row p. `back`: the other way.
void copy_transposed(const MatrixView& weight, const std::vector<std::int64_t>& order, MatrixView transposed,
                     std::int64_t first, bool back) {
  constexpr std::int64_t tile = 16;  // one side is walked across its rows: a cache line of each
  const auto d = static_cast<std::int64_t>(order.size());
#pragma omp parallel for schedule(static)
  for (std::int64_t p0 = 0; p0 < d; p0 += tile)
    for (std::int64_t r0 = 0; r0 < weight.rows; r0 += tile)
      for (std::int64_t p = p0; p < std::min(p0 + tile, d); ++p)
        for (std::int64_t r = r0; r < std::min(r0 + tile, weight.rows); ++r) {
          float& plain = weight.row(r)[order[static_cast<std::size_t>(p)]];
          float& turned = transposed.row(p)[first + r];
          (back ? plain : turned) = back ? turned : plain;
        }
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
  factor.upper.resize(static_cast<std::size_t>(d * d));
  // LAPACK's results lie column by column, so the copy also turns them.
  at::from_blob(factor.upper.data(), {d, d}, at::kFloat).copy_(at::flip(inverted, {0, 1}));
  return factor;
}

double gptq_quantize(std::span<const MatrixView> weights, const GptqFactor& factor, const GptqSettings& settings) {
  const auto d = static_cast<std::int64_t>(factor.order.size());
  if (settings.grid.bits >= 16) throw std::logic_error("gptq_quantize: 16 bits are not quantized");
  std::int64_t rows = 0;
  for (const MatrixView& w : weights) {
    if (w.cols != d) throw std::logic_error("gptq_quantize: a weight has other inputs than the Hessian");
    check_finite(w);
    rows += w.rows;
  }
  if (rows == 0) return 0;
  const std::int64_t padded = (rows + gptq_lanes - 1) / gptq_lanes * gptq_lanes;
  const std::int64_t group = settings.grid.group > 0 ? std::min(settings.grid.group, d) : d;
  const bool dynamic = settings.grid.group > 0 && !settings.static_groups;

  std::vector<std::int64_t> group_of(factor.order.size());
  for (std::size_t p = 0; p < group_of.size(); ++p)
    group_of[p] = (dynamic ? static_cast<std::int64_t>(p) : factor.order[p]) / group;
  GptqScales scales =
      dynamic ? GptqScales((d + group - 1) / group, padded) : fixed_scales(weights, group, padded, settings.grid);

  at::Tensor transposed = at::zeros({d, padded});
  const MatrixView turned{transposed.data_ptr<float>(), d, padded, padded};
  std::int64_t first = 0;
  for (const MatrixView& w : weights) {
    copy_transposed(w, factor.order, turned, first, false);
    first += w.rows;
  }
  for (std::int64_t p = 0; p < d; ++p)
    if (std::binary_search(factor.dead.begin(), factor.dead.end(), factor.order[static_cast<std::size_t>(p)]))
      std::fill_n(turned.row(p), padded, 0.0f);

  const GptqColumns layer{turned.data,  d, rows, padded, factor.upper.data(), group_of, dynamic ? group : 0,
                          settings.grid};
  const at::Tensor upper = at::from_blob(const_cast<float*>(factor.upper.data()), {d, d}, at::kFloat);
  const std::int64_t block = std::clamp<std::int64_t>(settings.block_size, 1, d);
  at::Tensor errors = at::empty({block, padded});
  double loss = 0;
  for (std::int64_t begin = 0, end = 0; begin < d; begin = end) {
    end = block_end(begin, d, block, layer.dynamic_group);
    loss += gptq_quantize_columns(layer, begin, end, scales, errors.data_ptr<float>());
    if (end == d) break;
    at::Tensor rest = transposed.narrow(0, end, d - end);
    const at::Tensor spread = upper.narrow(0, begin, end - begin).narrow(1, end, d - end);
    at::addmm_out(rest, rest, spread.t(), errors.narrow(0, 0, end - begin), 1, -1);
  }

  first = 0;
  for (const MatrixView& w : weights) {
    copy_transposed(w, factor.order, turned, first, true);
    first += w.rows;
  }
  return loss;
}

}  // namespace stamp
