// SVDQuant on the layers that share one input: the search for the scale, and the split of a weight into a low-rank part
// and a residual that rounds well. Specification methods 9.1, 9.2.
#pragma once
#include <vector>

#include "models/network.h"
#include "quant/grid.h"

namespace stamp::svd {

struct Settings {
  std::int64_t rank = 32, grid = 20, iterations = 100;
  WeightGrid weights;  // 16 bits and more: the residual is not rounded
  Grid activations;
};

// lambda_j = ax_j^alpha / aw_j^beta.
struct Exponents {
  double alpha = 0, beta = 0;
};
// (0, 0), (i / n, 0) and (i / n, 1 - i / n), i = 1 .. n - 1.
std::vector<Exponents> candidates(std::int64_t n);
// Largest values of input and weight by channel; factors that are not finite and positive are 1.
std::vector<double> smoothing(const std::vector<double>& activation, const std::vector<double>& weight, Exponents e);

struct Split {
  at::Tensor down, up, residual;  // r x d, M x r (values of 16-bit floats), M x d; float32. up down + residual = weight
  double error = 0;               // sum of squares of the outputs' error, with rounded inputs and residual
  std::int64_t iterations = 0;    // done
};
// `weight` M x d and `x` n x d, both smoothed; `target` n x M. float32. `quick`: the leading directions to the accuracy
// that comparing candidates needs where the exact ones cost much more.
Split split(const at::Tensor& weight, const at::Tensor& x, const at::Tensor& target, const Settings& settings,
            std::int64_t iterations, bool quick = false);

struct Choice {
  Exponents exponents;
  std::vector<double> factors;
  Split best;  // with all iterations
};
// The candidate whose split has the smallest error after one iteration; ties keep the earlier one.
// `weight` M x d, all layers that share the input stacked; `x` n x d. Neither smoothed. float32.
Choice search(const at::Tensor& weight, const at::Tensor& x, const Settings& settings);

}  // namespace stamp::svd
