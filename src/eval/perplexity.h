// exp(mean over windows of the mean next-token loss of a window). Specification methods 13.1, models 5.1.
#pragma once
#include "eval/evaluator.h"

namespace stamp {

struct Perplexity {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "perplexity";
    i.summary = "exp of the mean over windows of the mean next-token loss";
    i.source = "GPTQ protocol; specification methods 13.1";
    return i;
  }
  static std::unique_ptr<Evaluator> make(const EvaluatorContext& context);
};

}  // namespace stamp
