// What is measured at one slot while a trial runs, beside Theorem 1. Specification methods 1.6, 2.6.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace stamp {

// Sums over all samples of one slot; mergeable; double precision.
struct SlotStatistics {
  std::int64_t samples = 0;
  std::int64_t tokens = 0;         // s of a sample
  std::int64_t features = 0;       // d
  std::int64_t group = 0;          // group width g (d when per token)
  std::vector<double> row_energy;  // sum over samples of ||t_i||^2
  std::vector<double> row_range2;  // sum over samples and groups of g * r_i^2 (r: max - min, zero forced inside)
  std::vector<double> row_error;   // sum over samples of ||Q(t_i) - t_i||^2
  std::vector<double> row_bits;    // sum over samples of bits used
  double signal = 0;               // ||X||^2
  double error = 0;                // ||L^-1 Q(LX) - X||^2 = sum of row_error for orthonormal L
  double b1 = 0;                   // (g/2) sum ||t_i||^2 / N_i^2        (published, Theorem 1)
  double b2 = 0;                   // (g/4) sum r_i^2 / N_i^2            (actual range)
  double b3 = 0;                   // (g/12) sum r_i^2 / N_i^2           (noise estimate, not a bound)
  double b4 = 0;                   // sum min(||t_i||^2, g r_i^2 / (4 N_i^2))
  double b5 = 0;           // sum of estimated_rounding_error (quant/rounding_noise.h): an estimate, not a bound;
                           // NaN: read from a record written before it was known
  double worst_ratio = 0;  // largest error / b1 of a single sample
  void merge(const SlotStatistics& other);
  double sqnr_db() const;                     // 10 log10(signal / error); +inf for zero error
  double energy_share(std::int64_t k) const;  // of the first k rows
  double average_bits() const;
};

}  // namespace stamp
