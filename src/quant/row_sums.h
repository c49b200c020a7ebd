// What one transformed row contributes to the statistics, and how rows add up to a sample.
#pragma once
#include <cstdint>
#include <span>

#include "quant/allocation.h"
#include "quant/grid.h"
#include "quant/kernels.h"
#include "quant/rounding_noise.h"
#include "quant/sequence_quantizer.h"

namespace stamp {

struct RowSums {
  double energy = 0;     // ||t||^2
  double weighted = 0;   // sum over groups of (values in the group) * ||t_group||^2
  double range2 = 0;     // sum over groups of (values in the group) * r^2
  double limited = 0;    // sum over groups of min(||t_group||^2, n r^2 / (4 N^2))
  double estimated = 0;  // sum over groups of estimated_rounding_error
  double error = 0;
  void add_group(const kernels::Range& range, std::int64_t values, std::int64_t steps, double squared_error) {
    const auto n = static_cast<double>(values);
    const double r = static_cast<double>(range.high) - static_cast<double>(range.low);
    energy += range.energy;
    weighted += n * range.energy;
    range2 += n * r * r;
    error += squared_error;
    if (steps < 0) return;
    const auto big_n = static_cast<double>(steps);
    limited += steps == 0 ? range.energy : std::min(range.energy, n * r * r / (4 * big_n * big_n));
    estimated += estimated_rounding_error(values, range.energy, static_cast<double>(range.low),
                                          static_cast<double>(range.high), steps);
  }
  RowSums& operator+=(const RowSums& o) {
    energy += o.energy;
    weighted += o.weighted;
    range2 += o.range2;
    limited += o.limited;
    estimated += o.estimated;
    error += o.error;
    return *this;
  }
};

// N of a row; -1: 16 bits and more, the row passes untouched.
inline std::int64_t row_steps(float bits) {
  return bits >= 16 ? -1 : steps_of(static_cast<double>(bits));
}
// Group width in use: the whole row when the grid has none.
inline std::int64_t group_width(std::int64_t group, std::int64_t cols) {
  return group > 0 && group < cols ? group : cols;
}

// Adds one sample: rows in transformed order. `bits` empty = energies only.
void add_sample(SlotStatistics& statistics, std::span<const RowSums> rows, std::span<const float> bits,
                std::int64_t features, std::int64_t group);
// The k rows with the largest value get the high bits; ties and NaN: NaN counts as largest, earlier rows first.
std::vector<float> dynamic_bits(const RowBits& bits, std::span<const float> largest);

}  // namespace stamp
