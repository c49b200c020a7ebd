// GPTQ over a network's blocks: every site is quantized on the inputs that the quantized sites before it give. One
// forward pass of the calibration items in all, stopped at each site, where the published schedule takes five. Frantar
// et al. 2022, arXiv 2210.17323; specification methods 4.
#pragma once
#include <memory>

#include "base/option_info.h"
#include "weights/weight_quantizer.h"

namespace stamp {

struct WeightGptq {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "gptq";
    i.summary = "input channels one after the other; the ones that follow make up for each rounding error";
    i.source = "Frantar et al. 2022, arXiv 2210.17323, algorithm 1; specification methods 4";
    i.cost =
        "none online; offline one forward pass of the calibration items, X^T X of every linear input (d^2 products a "
        "token) and one factorization of it";
    i.needs_calibration = true;
    i.options = {
        option::flag("act_order", false, "channels with the largest activations first"),
        option::flag("static_groups", false,
                     "with groups: their scales come from the weights as they were, not as compensated"),
        option::flag("true_sequential", true,
                     "a site's inputs come from the quantized sites before it, also within its block"),
        option::real("percdamp", 0.01, 0, 10, "added to the diagonal of the Hessian, in means of the diagonal"),
        option::integer("block_size", 128, 1, {}, "channels between two updates of the rest; speed, not the result"),
        option::integer("damping_retries", 250, 0, {},
                        "how often a tenth more damping is tried while the Hessian has no Cholesky factor"),
    };
    return i;
  }
  static std::unique_ptr<WeightQuantizer> make();
};

}  // namespace stamp
