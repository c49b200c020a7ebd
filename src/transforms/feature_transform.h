// Transforms along features: rows x -> x R. The same routine applied to activation rows and to weight rows
// (out x in) cancels when R is orthogonal: (X R)(W R)^T = X W^T. Specification methods 6.2, 6.3.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/matrix.h"

namespace stamp {

class FeatureTransform {
 public:
  virtual ~FeatureTransform() = default;
  virtual std::int64_t size() const = 0;           // d
  virtual void apply(MatrixView rows) const = 0;   // each row of size() floats: x -> x R; threaded over rows
  virtual void invert(MatrixView rows) const = 0;  // x -> x R^{-1}
  virtual std::vector<double> matrix() const = 0;  // R, d x d row-major, slow twin
  virtual std::string name() const = 0;            // "hadamard 36 x 16"
};

// Orthonormal Hadamard x -> x M^T, M = (H_K (x) H_{2^p}) / sqrt(n). Null when no construction is known
// (n = 2 mod 4, odd n > 1, ...). hadamard_exists(n) tells without building.
std::unique_ptr<FeatureTransform> hadamard(std::int64_t n);
bool hadamard_exists(std::int64_t n);
// Random signs, then Hadamard: R = D H / sqrt(n).
std::unique_ptr<FeatureTransform> randomized_hadamard(std::int64_t n, std::uint64_t seed, const std::string& purpose);
// QR of a Gaussian matrix, sign-fixed; dense n x n.
std::unique_ptr<FeatureTransform> random_orthogonal(std::int64_t n, std::uint64_t seed, const std::string& purpose,
                                                    Gemm gemm);
// x -> x R for any invertible R (n x n row-major); `inverse` is R^{-1}.
std::unique_ptr<FeatureTransform> dense(std::string name, std::int64_t n, std::vector<double> r,
                                        const std::vector<double>& inverse, Gemm gemm);
// x -> x * factors (element-wise).
std::unique_ptr<FeatureTransform> diagonal(std::vector<float> factors);
// A (x) B on rows of size a.size() * b.size(), viewed as a x b: the left factor may be null = identity of that size.
std::unique_ptr<FeatureTransform> kronecker(std::shared_ptr<const FeatureTransform> a, std::int64_t a_size,
                                            std::shared_ptr<const FeatureTransform> b, std::int64_t b_size);
// The base matrix of order K (entries +-1, row-major) used inside `hadamard`: 1, 2, 12, 20, 28, 36, ..., 172.
std::vector<int> base_hadamard(std::int64_t order);  // empty when none is known

}  // namespace stamp
