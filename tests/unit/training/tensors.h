// Random tensors and distances for the tests of training.
#pragma once
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/seed.h"

namespace stamp::test {

// Gaussian numbers of a stream of their own.
inline at::Tensor gaussian(std::vector<std::int64_t> shape, std::uint64_t seed, double scale = 1) {
  at::Tensor out = at::empty(shape, at::TensorOptions(at::kFloat));
  RandomStream stream(seed, "training test", 0);
  float* values = out.data_ptr<float>();
  for (std::int64_t i = 0; i < out.numel(); ++i) values[i] = static_cast<float>(scale * stream.normal());
  return out;
}

inline at::Tensor leaf(const at::Tensor& values) {
  return values.detach().clone().set_requires_grad(true);
}

inline double largest_of(const at::Tensor& t) {
  return t.numel() ? t.detach().abs().max().item<double>() : 0;
}
// Largest difference, as a share of the largest value of b; NaN anywhere counts as infinity.
inline double relative_distance(const at::Tensor& a, const at::Tensor& b) {
  const double d = largest_of(a - b);
  return std::isnan(d) ? INFINITY : d / std::max(largest_of(b), 1e-30);
}

}  // namespace stamp::test
