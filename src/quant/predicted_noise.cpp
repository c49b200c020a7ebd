#include "quant/predicted_noise.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "quant/grid.h"

namespace stamp {

double predicted_noise(const RowBits& bits, std::span<const double> energies, std::span<const double> spread_energies) {
  const std::size_t rows = bits.bits.size();
  if (energies.size() != rows || spread_energies.size() != rows)
    throw std::logic_error("predicted_noise: bits and energies of different numbers of rows");
  std::vector<float> each = bits.bits;
  if (bits.dynamic) {
    std::vector<std::size_t> order(rows);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return spread_energies[a] > spread_energies[b]; });
    for (std::size_t i = 0; i < rows && static_cast<std::int64_t>(i) < bits.high_tokens; ++i)
      each[order[i]] = bits.high_bits;
  }
  double noise = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    if (each[i] >= 16) continue;
    const auto n = static_cast<double>(steps_of(static_cast<double>(each[i])));
    noise += n > 0 ? spread_energies[i] / (12 * n * n) : energies[i];
  }
  return noise;
}

}  // namespace stamp
