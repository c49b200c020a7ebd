// Gradient descent over orthogonal matrices by the Cayley transform, without momentum (Li, Fuxin and Todorovic 2020,
// algorithm 1), as SpinQuant trains its rotations. Specification methods 7. All matrices n x n, float64.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace stamp::training {

// One step from P along the gradient G = dLoss/dP:
//   U = P with rows of length one, re-orthogonalized where asked;  V = -G^T
//   A = V U;  A = A - U^T (U A) / 2;  S = A - A^T                   skew: the direction within the orthogonal matrices
//   alpha = min(rate, 1 / (||S||_1 + 1e-8))                         largest absolute column sum
//   Y = U^T + alpha V;  five times Y = U^T + alpha S (U^T + Y) / 2  towards Y = (I - alpha S / 2)^-1 (I + alpha S / 2)
//   U^T
// and gives Y^T. The five iterations stop short of the exact, orthogonal Y by at most 2^-5 of the first one's distance;
// the error shrinks with n, because ||S||_1 then exceeds the spectral norm of S.
at::Tensor cayley_step(const at::Tensor& p, const at::Tensor& gradient, double rate, bool reorthogonalize);

// The orthogonal matrix whose first k rows span those of P for every k (QR of P^T), signs as in P: a nearly orthogonal
// P moves by about as much as it misses.
at::Tensor orthonormal_rows(const at::Tensor& p);
double orthogonality_error(const at::Tensor& p);  // largest |P P^T - I|; NaN where P has one

// Steps of one parameter. The published step re-orthogonalizes with probability 1 / 101; here also whenever the result
// misses orthogonality by more than `tolerance`: R^-1 is folded into weights as R^T, so that what is missing changes
// the function of the model.
class CayleySgd {
 public:
  static constexpr double tolerance = 1e-6;
  // The chance is drawn from (seed, purpose, step) alone, so that a resumed training draws the same.
  CayleySgd(std::uint64_t seed, std::string purpose) : seed_(seed), purpose_(std::move(purpose)) {}
  at::Tensor step(const at::Tensor& p, const at::Tensor& gradient, double rate, std::int64_t index) const;

 private:
  std::uint64_t seed_;
  std::string purpose_;
};

}  // namespace stamp::training
