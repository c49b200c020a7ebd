#include "quant/slot_statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace stamp {

void SlotStatistics::merge(const SlotStatistics& other) {
  if (other.samples == 0) return;
  if (samples == 0) {
    *this = other;
    return;
  }
  if (tokens != other.tokens || features != other.features || group != other.group)
    throw std::logic_error("slot statistics of different shapes cannot be merged");
  const auto add = [](std::vector<double>& to, const std::vector<double>& from) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
  };
  add(row_energy, other.row_energy);
  add(row_range2, other.row_range2);
  add(row_error, other.row_error);
  add(row_bits, other.row_bits);
  samples += other.samples;
  signal += other.signal;
  error += other.error;
  b1 += other.b1;
  b2 += other.b2;
  b3 += other.b3;
  b4 += other.b4;
  b5 += other.b5;
  worst_ratio = std::max(worst_ratio, other.worst_ratio);
}

double SlotStatistics::sqnr_db() const {
  if (error == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(signal / error);
}

double SlotStatistics::energy_share(std::int64_t k) const {
  double first = 0, all = 0;
  for (std::size_t i = 0; i < row_energy.size(); ++i) {
    if (static_cast<std::int64_t>(i) < k) first += row_energy[i];
    all += row_energy[i];
  }
  return all > 0 ? first / all : 0;
}

double SlotStatistics::average_bits() const {
  double sum = 0;
  for (const double bits : row_bits) sum += bits;
  const auto rows = static_cast<double>(row_bits.size()) * static_cast<double>(samples);
  return rows > 0 ? sum / rows : 0;
}

}  // namespace stamp
