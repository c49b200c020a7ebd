// How alike the tokens of a slot are, by their distance: what a transform along the sequence has to work with.
// STaMP (arXiv 2510.26771) figure 3; specification methods 2.3, product 5.
#pragma once
#include <span>
#include <vector>

#include "eval/evaluator.h"

namespace stamp {

struct Correlation {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "correlation";
    i.summary =
        "cosine of the activations of two tokens against their distance, over linear inputs of at most eight blocks; "
        "keeps one picture of the whole matrix for every kind of input";
    i.source = "STaMP (arXiv 2510.26771) figure 3";
    i.cost = "one pass over every window, and s^2 d for every slot looked at";
    return i;
  }
  static std::unique_ptr<Evaluator> make(const EvaluatorContext& context);
};

// Mean over t of the entries (t, t + lag) of a matrix n x n (row-major), for every lag from 0 to n - 1.
std::vector<double> mean_by_lag(std::span<const float> cosines, std::int64_t n);

// Means over squares of a matrix n x n (row-major) in at most `side` x `side` squares of equal size; the last rows and
// columns that fill no square are left out.
std::vector<double> shrink_square(std::span<const float> matrix, std::int64_t n, std::int64_t side);

}  // namespace stamp
