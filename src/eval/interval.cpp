#include "eval/interval.h"

#include <cmath>
#include <limits>

namespace stamp {

namespace {

// Continued fraction of the incomplete beta function, modified Lentz (Abramowitz & Stegun 26.5.8); converges fast for
// x < (a + 1) / (a + b + 2).
double beta_fraction(double a, double b, double x) {
  constexpr double tiny = 1e-300;
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::fabs(d) < tiny ? tiny : d);
  double f = d;
  for (int m = 1; m < 500; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    double step = 1;
    for (const double coefficient : {even, odd}) {
      d = 1 + coefficient * d;
      c = 1 + coefficient / c;
      d = 1 / (std::fabs(d) < tiny ? tiny : d);
      c = std::fabs(c) < tiny ? tiny : c;
      step = c * d;
      f *= step;
    }
    if (std::fabs(step - 1) < 1e-15) break;
  }
  return f;
}

double regularized_beta(double a, double b, double x) {
  const double front =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
  return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a : 1 - front * beta_fraction(b, a, 1 - x) / b;
}

}  // namespace

double mean_of(std::span<const double> values) {
  double sum = 0;
  for (double v : values) sum += v;
  return values.empty() ? std::numeric_limits<double>::quiet_NaN() : sum / static_cast<double>(values.size());
}

double student_t_975(double freedom) {
  // P(|T| > t) = I_x(freedom / 2, 1 / 2) with x = freedom / (freedom + t^2) falls with t: bisection on [0, 13] covers
  // every freedom >= 1, whose largest answer is 12.706.
  double low = 0, high = 13;
  for (int i = 0; i < 100; ++i) {
    const double t = (low + high) / 2;
    const double both_tails = regularized_beta(freedom / 2, 0.5, freedom / (freedom + t * t));
    (both_tails > 0.05 ? low : high) = t;
  }
  return (low + high) / 2;
}

std::optional<Interval> mean_interval(std::span<const double> values) {
  if (values.size() < 2) return std::nullopt;
  const double n = static_cast<double>(values.size());
  const double mean = mean_of(values);
  double squares = 0;
  for (double v : values) squares += (v - mean) * (v - mean);
  const double half = student_t_975(n - 1) * std::sqrt(squares / (n - 1) / n);
  return Interval{mean - half, mean + half};
}

}  // namespace stamp
