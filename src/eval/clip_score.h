// How well images go with their prompts, by CLIP. Specification methods 13.4, models 8.
#pragma once
#include "eval/evaluator.h"

namespace stamp {

struct ClipScore {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "clip_score";
    i.summary =
        "100 max(0, cosine) of CLIP's vectors of an image and its prompt, mean over images; for models of text. The "
        "weights are the user's: a folder that images.clip or $STAMP_CLIP names";
    i.source = "Hessel et al. 2021, arXiv 2104.08718, in the scale of torchmetrics; specification methods 13.4";
    i.reads = "images";
    return i;
  }
  static std::unique_ptr<Evaluator> make(const EvaluatorContext& context);
};

}  // namespace stamp
