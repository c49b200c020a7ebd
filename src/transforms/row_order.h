// Rows of a matrix in another order, in place. For transforms whose coefficients are sorted after they are computed.
#pragma once
#include <cstdint>
#include <vector>

#include "base/matrix.h"

namespace stamp {

// A permutation kept as its cycles, so that one spare row is all that moving needs.
class RowOrder {
 public:
  // Row i goes to place[i]; a permutation of 0 .. n-1, std::logic_error otherwise.
  explicit RowOrder(std::vector<std::int64_t> place);
  std::int64_t place(std::int64_t row) const { return place_[static_cast<std::size_t>(row)]; }
  void forward(MatrixView x, float* spare) const;   // row i -> place(i); `spare` holds x.cols floats
  void backward(MatrixView x, float* spare) const;  // row place(i) -> i

 private:
  std::vector<std::int64_t> place_;
  std::vector<std::int64_t> starts_;  // one row of every cycle longer than one
};

}  // namespace stamp
