// Confidence intervals of a mean over items.
#pragma once
#include <optional>
#include <span>

namespace stamp {

double mean_of(std::span<const double> values);  // NaN for no values

// Two-sided 97.5% point of Student's t distribution with `freedom` >= 1 degrees of freedom.
double student_t_975(double freedom);

struct Interval {
  double low = 0, high = 0;
};
// 95% t-interval of the mean; nothing for fewer than two values (one value has no deviation).
std::optional<Interval> mean_interval(std::span<const double> values);

}  // namespace stamp
