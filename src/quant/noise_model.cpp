#include "quant/noise_model.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <stdexcept>
#include <string>

#include "quant/row_sums.h"

namespace stamp {

double rounding_noise(double sigma, double step) {
  if (!(step > 0)) return 0;
  const double ratio = sigma / step, uniform = step * step / 12;
  // The first term of the series is 12/pi^2 exp(-2 pi^2 ratio^2) of the whole: below 1e-17 here.
  if (ratio > 1.5) return uniform;
  // Far below half a step everything becomes zero: 1 / (2 ratio) > 8 standard deviations. The series would need many
  // terms that cancel.
  if (ratio < 0.06) return sigma * sigma;
  double sum = 0;
  for (int k = 1;; ++k) {
    const double term = std::exp(-2 * std::numbers::pi * std::numbers::pi * k * k * ratio * ratio) / (k * k);
    sum += k % 2 == 1 ? -term : term;
    if (term < 1e-17) break;
  }
  return std::clamp(uniform + step * step / (std::numbers::pi * std::numbers::pi) * sum, 0.0, sigma * sigma);
}

double clipping_noise(double sigma, double limit) {
  if (!(sigma > 0)) return 0;
  const double t = limit / sigma;
  const double tail = std::erfc(t / std::numbers::sqrt2);
  const double density = std::sqrt(2 / std::numbers::pi) * std::exp(-t * t / 2);
  return std::max(0.0, sigma * sigma * ((1 + t * t) * tail - t * density));
}

ChannelProfile::ChannelProfile(std::span<const double> channel_energy, std::span<const double> output_weight)
    : channels_(static_cast<std::int64_t>(channel_energy.size())) {
  if (!output_weight.empty() && output_weight.size() != channel_energy.size())
    throw std::logic_error("channel profile: " + std::to_string(channel_energy.size()) + " channels and " +
                           std::to_string(output_weight.size()) + " weights");
  double total = 0;
  for (const double e : channel_energy) {
    if (!std::isfinite(e) || e < 0) throw std::logic_error("channel profile: an energy is not a number");
    total += e;
  }
  std::map<int, Bin> found;
  for (std::size_t j = 0; j < channel_energy.size(); ++j) {
    const double share = total > 0 ? channel_energy[j] / total : 0;
    if (share <= 0) continue;  // a channel of zeros makes no error
    Bin& bin = found[static_cast<int>(std::floor(2 * std::log2(share)))];
    bin.channels += 1;
    bin.share += share;
    bin.weight += output_weight.empty() ? 0.0 : output_weight[j];
  }
  for (auto& [octave, bin] : found) {
    bin.share /= bin.channels;
    bins_.push_back(bin);
  }
}

NoiseEstimate predicted_row_error(const ChannelProfile& profile, double energy, double range2, float bits,
                                  double clip) {
  const std::int64_t steps = row_steps(bits);
  NoiseEstimate out;
  if (steps < 0 || !(energy > 0)) return out;
  const double range = clip * std::sqrt(range2);
  for (const ChannelProfile::Bin& bin : profile.bins()) {
    const double sigma = std::sqrt(energy * bin.share);
    double noise = sigma * sigma;  // no steps: the row becomes zero
    if (steps > 0) noise = rounding_noise(sigma, range / static_cast<double>(steps));
    if (clip < 1) noise += clipping_noise(sigma, range / 2);
    out.error += bin.channels * noise;
    out.output_error += bin.weight * noise;
  }
  return out;
}

NoiseEstimate predicted_error(const ChannelProfile& profile, const RowNoiseInput& rows) {
  if (rows.energy.size() != rows.range2.size() || rows.energy.size() != rows.bits.size())
    throw std::logic_error("predicted_error: energies, ranges and bits of different numbers of rows");
  NoiseEstimate sum;
  for (std::size_t i = 0; i < rows.energy.size(); ++i) {
    const NoiseEstimate row = predicted_row_error(profile, rows.energy[i], rows.range2[i], rows.bits[i], rows.clip);
    sum.error += row.error;
    sum.output_error += row.output_error;
  }
  return sum;
}

}  // namespace stamp
