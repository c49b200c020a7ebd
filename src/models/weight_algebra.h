// Exact changes of weights, in double, rounded to float32 once at the end. Specification methods 5, 6.2.
#pragma once
#include <ATen/core/Tensor.h>

#include <span>

#include "transforms/feature_transform.h"

namespace stamp {

// One feature transform R (d x d) applied to many weights: the dense double matrix is made once.
class WeightRotation {
 public:
  explicit WeightRotation(const FeatureTransform& r);
  // W (m x d) <- W R: a layer that reads x R instead of x, for orthonormal R.
  void rotate_inputs(at::Tensor& weight) const;
  // W (m x k) <- (I (x) R)^T W and b <- b (I (x) R): a layer whose outputs, in blocks of d, come out times R. m is a
  // multiple of d; `bias` may be undefined.
  void rotate_outputs(at::Tensor& weight, at::Tensor& bias) const;

 private:
  const FeatureTransform& transform_;
  std::int64_t size_;
  at::Tensor matrix_;  // d x d double; undefined beyond the size where it would not fit
};

// W (m x d) <- W diag(factors).
void scale_inputs(at::Tensor& weight, std::span<const double> factors);

}  // namespace stamp
