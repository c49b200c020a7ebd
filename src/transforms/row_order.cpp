#include "transforms/row_order.h"

#include <algorithm>
#include <stdexcept>

namespace stamp {

RowOrder::RowOrder(std::vector<std::int64_t> place) : place_(std::move(place)) {
  const auto n = static_cast<std::int64_t>(place_.size());
  std::vector<bool> seen(place_.size());
  for (const std::int64_t p : place_) {
    if (p < 0 || p >= n || seen[static_cast<std::size_t>(p)]) throw std::logic_error("RowOrder: not a permutation");
    seen[static_cast<std::size_t>(p)] = true;
  }
  std::fill(seen.begin(), seen.end(), false);
  for (std::int64_t i = 0; i < n; ++i) {
    if (seen[static_cast<std::size_t>(i)]) continue;
    std::int64_t length = 0;
    for (std::int64_t at = i; !seen[static_cast<std::size_t>(at)]; at = this->place(at), ++length)
      seen[static_cast<std::size_t>(at)] = true;
    if (length > 1) starts_.push_back(i);
  }
}

void RowOrder::backward(MatrixView x, float* spare) const {
  for (const std::int64_t start : starts_) {
    std::copy_n(x.row(start), x.cols, spare);
    std::int64_t to = start;
    for (std::int64_t from = place(start); from != start; to = from, from = place(from))
      std::copy_n(x.row(from), x.cols, x.row(to));
    std::copy_n(spare, x.cols, x.row(to));
  }
}

void RowOrder::forward(MatrixView x, float* spare) const {
  for (const std::int64_t start : starts_) {
    // The spare row carries what the next place is waiting for.
    std::copy_n(x.row(start), x.cols, spare);
    for (std::int64_t to = place(start); to != start; to = place(to))
      std::swap_ranges(spare, spare + x.cols, x.row(to));
    std::copy_n(spare, x.cols, x.row(start));
  }
}

}  // namespace stamp
