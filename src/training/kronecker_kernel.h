// Rows times a Kronecker product, and the derivative, on raw floats. A row of a * b values is the a x b matrix X;
// X -> P^T X Q is the row times P (x) Q. Specification methods 8.1.
#pragma once
#include <cstdint>

namespace stamp::training {

struct KroneckerShape {
  std::int64_t rows = 0, a = 1, b = 1;
};

// p: a x a, q: b x b, row-major; either may be null = identity. x, out: rows x (a b) contiguous; out may not be x.
void kronecker_rows(const KroneckerShape& shape, const float* x, const float* p, const float* q, float* out);
// For the gradient `above` of the result: that of x (dx), of p (dp, a x a; null when p is) and of q (dq, b x b). All
// are overwritten. Sums over rows are added up by thread in a fixed order.
void kronecker_gradient(const KroneckerShape& shape, const float* x, const float* p, const float* q, const float* above,
                        float* dx, float* dp, float* dq);

}  // namespace stamp::training
