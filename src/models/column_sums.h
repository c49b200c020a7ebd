// Sums over rows, channel by channel.
#pragma once
#include <vector>

#include "base/matrix.h"

namespace stamp {

// Adds rows [first, first + rows) of x to `sums`, in double; empty sums begin at zero.
inline void add_rows(ConstMatrixView x, std::int64_t first, std::int64_t rows, std::vector<double>& sums) {
  sums.resize(static_cast<std::size_t>(x.cols), 0.0);
  for (std::int64_t i = first; i < first + rows; ++i)
    for (std::int64_t j = 0; j < x.cols; ++j) sums[static_cast<std::size_t>(j)] += static_cast<double>(x.row(i)[j]);
}

}  // namespace stamp
