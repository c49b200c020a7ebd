// B5: what a min-max grid will do to a slot, from per-row statistics and one profile of its channels. An estimate, not
// a bound. It costs some twenty evaluations a row, O(s) per slot, whatever d is. Specification methods 2.6 has B1 to
// B4.
//
// B3 (d r^2 / 12 N^2) takes every rounding error for uniform. That fails as soon as the step is wider than the values:
// zero is a level, so a value far below half a step is lost whole and leaves x^2 and not step^2 / 12. With outlier
// channels nearly all values of a 4-bit row are of that kind. B5 takes channel j of row i for Gaussian with variance
// e_i c_j, where c_j is the channel's share of the slot's energy, and uses the exact mean square of rounding a Gaussian
// to multiples of the step. The shares do not depend on the transform: L is orthonormal, so it keeps the energy of
// every column. One profile, measured once in the token domain, serves every candidate transform and number of bits.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace stamp {

// E (x - step round(x / step))^2 for x ~ N(0, sigma^2): step^2 / 12 for a fine grid, sigma^2 for a coarse one.
// (B. Widrow and I. Kollar, Quantization Noise, 2008: the characteristic function at multiples of 2 pi / step.)
double rounding_noise(double sigma, double step);
// E (|x| - limit)_+^2 for x ~ N(0, sigma^2): what clipping to +-limit costs.
double clipping_noise(double sigma, double limit);

// Channels of one slot, or of one group of its features, gathered in half-octaves of their energy.
class ChannelProfile {
 public:
  // channel_energy: sum of squares of every channel over calibration, finite and not negative. output_weight: squared
  // norm of the weight column that reads the channel, sum over output features of w^2; empty: not known.
  explicit ChannelProfile(std::span<const double> channel_energy, std::span<const double> output_weight = {});
  struct Bin {
    double channels = 0;  // how many
    double share = 0;     // of the energy of a row, per channel
    double weight = 0;    // sum of output_weight
  };
  const std::vector<Bin>& bins() const { return bins_; }
  std::int64_t channels() const { return channels_; }

 private:
  std::vector<Bin> bins_;
  std::int64_t channels_;
};

// Per transformed row: e_i = E ||t_i||^2 and E r_i^2 (r: max - min with zero inside, of the profile's channels), and
// the bits of the row. Equal lengths, std::logic_error otherwise.
struct RowNoiseInput {
  std::span<const double> energy, range2;
  std::span<const float> bits;
  double clip = 1;  // of the range; its ends are taken for equally far from zero then
};

struct NoiseEstimate {
  double error = 0;         // E ||L^-1 Q(L X) - X||^2
  double output_error = 0;  // the same behind the weight, errors of different channels taken for uncorrelated
};
// Slots whose grid has groups: one call a group with the group's own profile, energies and ranges, added up.
NoiseEstimate predicted_error(const ChannelProfile& profile, const RowNoiseInput& rows);
// One row: for allocators that compare numbers of bits.
NoiseEstimate predicted_row_error(const ChannelProfile& profile, double energy, double range2, float bits,
                                  double clip = 1);

}  // namespace stamp
