#include "quant/rounding_noise.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace stamp {
namespace {

constexpr double kEuler = std::numbers::egamma, kPi = std::numbers::pi;

// Average of max - min of n independent values of spread 1, to the first orders in 1 / log n (extreme value theory).
double range_of_normal(double n) {
  const double root = std::sqrt(2 * std::log(n));
  return 2 * (root - (std::log(std::log(n)) + std::log(4 * kPi)) / (2 * root) + kEuler / root);
}
double range_of_laplace(double n) {
  return std::numbers::sqrt2 * (std::log(n / 2) + kEuler);
}

struct Ranges {
  std::int64_t n = 0;
  double normal = 0, laplace = 0;
};
// Kept for the n of the call before, which nearly all groups of a slot share: the logarithms are most of the work.
const Ranges& ranges_of(std::int64_t n) {
  thread_local Ranges last;
  // With a handful of values the two averages meet and the shape says nothing: normal, as with two zeros.
  if (n != last.n)
    last = n < 8 ? Ranges{n, 0, 0}
                 : Ranges{n, range_of_normal(static_cast<double>(n)), range_of_laplace(static_cast<double>(n))};
  return last;
}

}  // namespace

double rounding_error_normal(double spread) {
  if (spread < 0.1) return spread * spread;  // one value in two million lies beyond half a step
  if (spread > 1.5) return 1.0 / 12;         // the first term is below its last bit
  double sum = 1.0 / 12;
  for (int k = 1; k < 16; ++k) {
    const double term = std::exp(-2 * std::pow(kPi * k * spread, 2)) / std::pow(kPi * k, 2);
    sum += k % 2 ? -term : term;
    if (term < 1e-12) break;
  }
  return sum;
}

double rounding_error_laplace(double spread) {
  const double b = spread / std::numbers::sqrt2;
  if (b > 20) return 1.0 / 12 - 7.0 / (2880 * b * b);  // the next orders; the difference below would cancel
  if (b < 1e-3) return 2 * b * b;                      // sinh would overflow
  return 2 * b * b - b / std::sinh(1 / (2 * b));
}

double estimated_rounding_error(std::int64_t n, double energy, double low, double high, std::int64_t steps) {
  if (steps == 0 || energy == 0) return energy;
  const double step = (high - low) / static_cast<double>(steps), uniform = step * step / 12;
  const double ends = std::min(low * low, uniform) + std::min(high * high, uniform);
  const auto rest = static_cast<double>(n - 2);
  const double left = energy - low * low - high * high;
  if (rest < 1 || left <= 0 || step == 0) return ends;
  const double spread = std::sqrt(left / rest);
  const auto& [size, normal, laplace] = ranges_of(n);
  const double heavy =
      laplace > normal ? std::clamp(((high - low) / spread - normal) / (laplace - normal), 0.0, 1.0) : 0;
  double noise = 0;
  if (heavy < 1) noise += (1 - heavy) * rounding_error_normal(spread / step);
  if (heavy > 0) noise += heavy * rounding_error_laplace(spread / step);
  return ends + rest * step * step * noise;
}

}  // namespace stamp
