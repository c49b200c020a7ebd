// Round to nearest, min-max or clip search, per output channel or per group. Specification methods 1.2 to 1.5, 3.
#pragma once
#include <memory>

#include "base/plugin.h"
#include "weights/weight_quantizer.h"

namespace stamp {

struct WeightRtn {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "rtn";
    i.summary = "round to nearest on a min-max grid, with optional clip search";
    i.source = "specification methods 1.2 to 1.5";
    i.cost = "none online";
    return i;
  }
  static std::unique_ptr<WeightQuantizer> make();
};

}  // namespace stamp
