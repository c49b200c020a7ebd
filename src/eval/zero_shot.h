// Accuracy of zero-shot tasks: the likeliest candidate answers. Specification methods 13.2, 13.3.
#pragma once
#include <span>

#include "eval/evaluator.h"

namespace stamp {

struct ZeroShot {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "zero_shot";
    i.summary =
        "accuracy on zero-shot tasks: of each task acc, acc_norm, the loss of the right answer, and their average";
    i.source = "lm-evaluation-harness; specification methods 13.2, 13.3";
    i.reads = "zero_shot";
    return i;
  }
  static std::unique_ptr<Evaluator> make(const EvaluatorContext& context);
};

// Index of the largest value, the first of equal ones. With `characters`, of value / characters.
std::int64_t likeliest(std::span<const double> log_likelihoods);
std::int64_t likeliest(std::span<const double> log_likelihoods, std::span<const std::int64_t> characters);

}  // namespace stamp
