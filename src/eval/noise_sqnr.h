// How near the denoiser's output is to the full-precision one, from the same inputs. Specification methods 1.6, 13.4
// (iv).
#pragma once
#include "eval/evaluator.h"

namespace stamp {

struct NoiseSqnr {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "noise_sqnr";
    i.summary = "SQNR of the denoiser's output at every step on the full-precision way to the first few images";
    i.source = "specification methods 13.4 (iv)";
    i.reads = "steps";
    return i;
  }
  static std::unique_ptr<Evaluator> make(const EvaluatorContext& context);
};

}  // namespace stamp
