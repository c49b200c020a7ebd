// Rows times a Kronecker product of two learned matrices, with gradients. Specification methods 8.1.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace stamp::training {

// x: ... x (a b) float32; left: a x a, right: b x b; either may be undefined = identity. Gives x (left (x) right).
at::Tensor kronecker_product(const at::Tensor& x, const at::Tensor& left, const at::Tensor& right);

// The two sizes of a Kronecker product for a width n: with a the smallest a >= sqrt(n) for which a^2 - n is a square
// b^2, they are a - b and a + b, that is the two divisors of equal parity that lie closest together. For n = 2 mod 4
// there are none (a search for a would not end), and the closest divisors of any parity are taken.
struct KroneckerSizes {
  std::int64_t left = 1, right = 1;
};
KroneckerSizes kronecker_sizes(std::int64_t n);

}  // namespace stamp::training
