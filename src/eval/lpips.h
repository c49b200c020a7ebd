// How far apart quantized images and the full-precision ones of the same noise look. Specification methods 13.4.
#pragma once
#include "eval/evaluator.h"

namespace stamp {

struct Lpips {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "lpips";
    i.summary =
        "LPIPS with AlexNet, version 0.1, against the full-precision image of the same noise, mean over images; from "
        "31 x 31 pixels. The weights are the user's: a folder that images.lpips or $STAMP_LPIPS names";
    i.source = "R. Zhang et al. 2018, arXiv 1801.03924; specification methods 13.4";
    i.reads = "images";
    return i;
  }
  static std::unique_ptr<Evaluator> make(const EvaluatorContext& context);
};

}  // namespace stamp
