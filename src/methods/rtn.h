// Round to nearest: no feature transform. Specification methods 3.
#pragma once
#include "methods/method.h"

namespace stamp {

struct Rtn {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "rtn";
    i.summary = "round to nearest, no feature transform";
    i.source = "specification methods 3";
    i.cost = "none online";
    return i;
  }
  static std::unique_ptr<Method> make();
};

}  // namespace stamp
