// Mean squared rounding error of values of a known spread on a grid of a known step: how far B3's step^2 / 12 holds,
// and what takes its place where a few large values set the step of a row and the others fall onto one or two levels.
#pragma once
#include <cstdint>

namespace stamp {

// E (round(x) - x)^2 for x of mean 0 and standard deviation `spread`, in units of the step; zero is a level. Both go
// from spread^2 (everything becomes zero) to 1/12 (uniform noise). Normal x: 1/12 + sum over k >= 1 of (-1)^k / (pi
// k)^2 exp(-2 (pi k spread)^2)  (A. Sripad, D. Snyder 1977).
double rounding_error_normal(double spread);
// Laplace x of scale b = spread / sqrt(2): the same series with its characteristic function sums to
// 2 b^2 - b / sinh(1 / (2 b)).
double rounding_error_laplace(double spread);

// B5: an estimate of ||Q(t) - t||^2 of one group of n values from its energy and its extremes, for a grid of `steps` =
// N steps between them. The two extremes set the step r / N; what is left has the spread of the energy without them,
// and its shape is taken from the group's own crest r / spread: normal up to the range that n normal values have on
// average, Laplace from the range that n Laplace values have, and in proportion between. No constant is fitted. low <=
// 0 <= high; steps = 0: everything becomes zero, the energy itself. Not a bound.
double estimated_rounding_error(std::int64_t n, double energy, double low, double high, std::int64_t steps);

}  // namespace stamp
