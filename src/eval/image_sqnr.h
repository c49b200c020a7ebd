// How near quantized images are to the full-precision ones of the same noise and prompt. Specification
// methods 1.6, 13.4.
#pragma once
#include "eval/evaluator.h"

namespace stamp {

struct ImageSqnr {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "image_sqnr";
    i.summary =
        "SQNR of final latents, of images in [-1, 1] and in [0, 1] and along the way, PSNR and SSIM, each against the "
        "full-precision image of the same noise; keeps the first few images as PNG files";
    i.source = "STaMP Table 1; specification methods 13.4";
    i.reads = "images";
    return i;
  }
  static std::unique_ptr<Evaluator> make(const EvaluatorContext& context);
};

}  // namespace stamp
