// An invertible matrix as something to learn. Specification methods 8.1.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace stamp::training {

enum class Parametrization {
  svd,         // U diag(s) V^T, U and V a random orthogonal matrix times the Cayley map of a free matrix
  direct_inv,  // a free matrix, inverted in double
};

class LearnedMatrix {
 public:
  // Starts at a random orthogonal n x n matrix, a function of seed and purpose.
  LearnedMatrix(std::int64_t n, Parametrization parametrization, std::uint64_t seed, const std::string& purpose);

  struct Pair {
    at::Tensor matrix, inverse_transpose;
  };
  Pair current() const;  // float32, differentiable in parameters()
  Pair exact() const;    // double, no gradients: the inverse belongs to the matrix to rounding
  const std::vector<at::Tensor>& parameters() const { return parameters_; }

 private:
  Pair evaluate(bool in_double) const;
  Parametrization parametrization_;
  std::vector<at::Tensor> parameters_;  // free U, free V, s; or the matrix
  at::Tensor left_, right_;             // double
};

// (I - A / 2)^-1 (I + A / 2) of the skew matrix A that the lower triangle of `free` makes: orthogonal, the identity for
// zero (torch.nn.utils.parametrizations.orthogonal, map "cayley").
at::Tensor cayley_map(const at::Tensor& free);

}  // namespace stamp::training
