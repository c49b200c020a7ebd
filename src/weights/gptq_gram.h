// X^T X of calibration activations, the Hessian of a linear layer's squared output error up to a factor. Specification
// methods 4.1.
#pragma once
#include <cstdint>
#include <vector>

#include "base/matrix.h"

namespace stamp {

// Adds rows as they come. Float32 products, summed in double every few hundred rows. Only the upper triangle is
// computed: half the work of a general product. Results do not depend on the number of threads.
class GramMatrix {
 public:
  explicit GramMatrix(std::int64_t size);  // d; takes 8 d^2 bytes
  std::int64_t size() const { return size_; }
  std::int64_t rows() const { return rows_; }
  void add(ConstMatrixView x);  // s x d
  // d x d, row-major, symmetric: what was added, times `factor`. Leaves the object empty.
  std::vector<double> take(double factor);

 private:
  std::int64_t size_, rows_ = 0;
  std::vector<double> sums_;  // d x d, upper triangle
  std::vector<float> panels_;
};

}  // namespace stamp
