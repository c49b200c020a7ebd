// How much of a text's loss a sequence transform saves by letting positions see later ones. Specification methods 2.11.
#pragma once
#include <span>

#include "eval/evaluator.h"

namespace stamp {

struct Leak {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "leak";
    i.summary =
        "how far losses depend on later tokens: change of earlier losses when the last token of a window changes (D1), "
        "and "
        "losses at left and right members of neighbouring pairs (D2)";
    i.source = "specification methods 2.11, D1 and D2";
    i.cost = "two passes over every window";
    return i;
  }
  static std::unique_ptr<Evaluator> make(const EvaluatorContext& context);
};

// Mean losses at the positions that are the left and the right members of pairs (first, first + 1), (first + 2, ...).
// losses[t] is that of predicting token t + 1 at position t: where a pair's rows are rounded together, only a left
// member can see the token that it predicts. NaN where there is no such position.
struct ParityLosses {
  double left = 0, right = 0;
};
ParityLosses parity_losses(std::span<const float> losses, std::int64_t first);

}  // namespace stamp
