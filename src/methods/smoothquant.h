// SmoothQuant: per-channel scales move outliers from activations into weights. Specification methods 5.
#pragma once
#include "base/option_info.h"
#include "methods/method.h"

namespace stamp {

struct SmoothQuant {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "smoothquant";
    i.summary = "per-channel scaling of norm-fed inputs, folded into norms (or their modulation) and weights";
    i.source = "SmoothQuant (Xiao et al. 2023), eq. 4; specification methods 5";
    i.cost = "none online (folded)";
    i.needs_calibration = true;
    i.options = {option::real("alpha", 0.5, 0, 1,
                              "migration strength: 0 leaves all to the activations, 1 moves all into the weights")};
    return i;
  }
  static std::unique_ptr<Method> make();
};

}  // namespace stamp
