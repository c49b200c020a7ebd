// How much people would like the images for their prompts, by ImageReward. Specification methods 13.4.
#pragma once
#include "eval/evaluator.h"

namespace stamp {

struct ImageReward {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "image_reward";
    i.summary =
        "ImageReward of an image and its prompt, mean over images; higher is better; for models of text. The weights "
        "are the user's: a folder that images.image_reward or $STAMP_IMAGE_REWARD names";
    i.source = "Xu et al. 2023, arXiv 2304.05977, and the image-reward package; specification methods 13.4";
    i.reads = "images";
    return i;
  }
  static std::unique_ptr<Evaluator> make(const EvaluatorContext& context);
};

}  // namespace stamp
