#include "quant/row_sums.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace stamp {
namespace {

void shape(SlotStatistics& s, std::int64_t tokens, std::int64_t features, std::int64_t group) {
  if (s.samples == 0 && s.row_energy.empty()) {
    s.tokens = tokens;
    s.features = features;
    s.group = group;
    for (auto* rows : {&s.row_energy, &s.row_range2, &s.row_error, &s.row_bits})
      rows->assign(static_cast<std::size_t>(tokens), 0.0);
    return;
  }
  if (s.tokens != tokens || s.features != features || s.group != group)
    throw std::logic_error("slot statistics collected for one shape are given another");
}

}  // namespace

void add_sample(SlotStatistics& s, std::span<const RowSums> rows, std::span<const float> bits, std::int64_t features,
                std::int64_t group) {
  shape(s, static_cast<std::int64_t>(rows.size()), features, group);
  double error = 0, b1 = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const RowSums& row = rows[i];
    s.row_energy[i] += row.energy;
    s.row_range2[i] += row.range2;
    s.signal += row.energy;  // of the rows of L X, which is that of X: L is orthonormal
    if (bits.empty()) continue;
    s.row_error[i] += row.error;
    s.row_bits[i] += static_cast<double>(bits[i]);
    error += row.error;
    const std::int64_t steps = row_steps(bits[i]);
    if (steps < 0 || row.energy == 0) continue;  // no steps is N -> infinity: nothing is added to the bounds
    const double n2 = static_cast<double>(steps) * static_cast<double>(steps);
    b1 += row.weighted / (2 * n2);
    s.b2 += row.range2 / (4 * n2);
    s.b3 += row.range2 / (12 * n2);
    s.b4 += row.limited;
    s.b5 += row.estimated;
  }
  s.b1 += b1;
  s.error += error;
  if (b1 > 0) s.worst_ratio = std::max(s.worst_ratio, error / b1);
  ++s.samples;
}

std::vector<float> dynamic_bits(const RowBits& bits, std::span<const float> largest) {
  std::vector<float> chosen = bits.bits;
  std::vector<std::size_t> order(largest.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto key = [&](std::size_t i) {
    return std::isnan(largest[i]) ? std::numeric_limits<float>::infinity() : largest[i];
  };
  const auto k =
      static_cast<std::size_t>(std::clamp<std::int64_t>(bits.high_tokens, 0, static_cast<std::int64_t>(order.size())));
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k), order.end(),
                    [&](std::size_t a, std::size_t b) { return key(a) != key(b) ? key(a) > key(b) : a < b; });
  for (std::size_t i = 0; i < k; ++i) chosen[order[i]] = bits.high_bits;
  return chosen;
}

}  // namespace stamp
