// The slow twin of quantize_sequence: a dense matrix product in double, one loop a group, sums as in the formulas.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "quant/grid.h"
#include "quant/rounding_noise.h"
#include "quant/sequence_quantizer.h"

namespace stamp {
namespace {

std::vector<float> bits_of_sample(const RowBits& bits, const std::vector<float>& t, std::size_t s, std::size_t d) {
  std::vector<float> chosen = bits.bits;
  if (!bits.dynamic) return chosen;
  std::vector<std::pair<float, std::size_t>> rows;
  for (std::size_t i = 0; i < s; ++i) {
    float largest = 0;
    for (std::size_t j = 0; j < d; ++j)
      largest = std::isfinite(t[i * d + j]) ? std::max(largest, std::fabs(t[i * d + j])) : INFINITY;
    rows.emplace_back(-largest, i);
  }
  std::sort(rows.begin(), rows.end());
  for (std::size_t i = 0; i < std::min(s, static_cast<std::size_t>(bits.high_tokens)); ++i)
    chosen[rows[i].second] = bits.high_bits;
  return chosen;
}

}  // namespace

void quantize_sequence_reference(ConstMatrixView x, const SequenceTransform& l, const RowBits& bits,
                                 const ActivationGrid& grid, MatrixView out, SlotStatistics* statistics) {
  const auto s = static_cast<std::size_t>(x.rows), d = static_cast<std::size_t>(x.cols);
  const std::size_t g = grid.group > 0 ? std::min(static_cast<std::size_t>(grid.group), d) : d;
  const std::vector<double> m = l.matrix();
  std::vector<float> t(s * d);
  for (std::size_t i = 0; i < s; ++i)
    for (std::size_t j = 0; j < d; ++j) {
      double sum = 0;
      for (std::size_t k = 0; k < s; ++k)  // a zero entry must not turn another block's NaN into this row's
        if (m[i * s + k] != 0) sum += m[i * s + k] * static_cast<double>(x.row(static_cast<std::int64_t>(k))[j]);
      t[i * d + j] = static_cast<float>(sum);
    }
  const std::vector<float> row_bits = bits_of_sample(bits, t, s, d);
  std::vector<float> q(s * d);
  SlotStatistics one;
  one.samples = 1;
  one.tokens = x.rows;
  one.features = x.cols;
  one.group = static_cast<std::int64_t>(g);
  for (auto* rows : {&one.row_energy, &one.row_range2, &one.row_error, &one.row_bits}) rows->assign(s, 0.0);
  for (std::size_t i = 0; i < s; ++i) {
    one.row_bits[i] = static_cast<double>(row_bits[i]);
    for (std::size_t c = 0; c < d; c += g) {
      const std::size_t n = std::min(g, d - c);
      Grid row_grid;
      row_grid.bits = static_cast<double>(row_bits[i]);
      row_grid.symmetric = grid.symmetric;
      row_grid.clip = grid.clip;
      if (row_grid.bits <= grid.learned_bits) {
        row_grid.clip_low = grid.learned_low;
        row_grid.clip_high = grid.learned_high;
      }
      fake_quantize_group({&t[i * d + c], n}, row_grid, {&q[i * d + c], n});
      double energy = 0, error = 0, low = 0, high = 0;
      for (std::size_t j = i * d + c; j < i * d + c + n; ++j) {
        const double v = static_cast<double>(t[j]), e = static_cast<double>(q[j]) - v;
        energy += v * v;
        error += e * e;
        low = std::min(low, v);
        high = std::max(high, v);
      }
      const double size = static_cast<double>(n), r2 = (high - low) * (high - low);
      one.row_energy[i] += energy;
      one.row_range2[i] += size * r2;
      one.row_error[i] += error;
      if (row_bits[i] >= 16 || energy == 0) continue;
      const double steps = static_cast<double>(steps_of(row_grid.bits));
      one.b1 += size / 2 * energy / (steps * steps);
      one.b2 += size / 4 * r2 / (steps * steps);
      one.b3 += size / 12 * r2 / (steps * steps);
      one.b4 += std::min(energy, size * r2 / (4 * steps * steps));
      one.b5 += estimated_rounding_error(static_cast<std::int64_t>(n), energy, low, high, steps_of(row_grid.bits));
    }
    one.signal += one.row_energy[i];
    one.error += one.row_error[i];
  }
  if (one.b1 > 0) one.worst_ratio = one.error / one.b1;
  for (std::size_t i = 0; i < s; ++i)
    for (std::size_t j = 0; j < d; ++j) {
      double sum = 0;
      for (std::size_t k = 0; k < s; ++k)
        if (m[k * s + i] != 0) sum += m[k * s + i] * static_cast<double>(q[k * d + j]);
      out.row(static_cast<std::int64_t>(i))[j] = static_cast<float>(sum);
    }
  if (statistics) statistics->merge(one);
}

}  // namespace stamp
