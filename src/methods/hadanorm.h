// HadaNorm: every input is centred over its sequence, scaled and rotated. Specification methods 11.
#pragma once
#include "base/option_info.h"
#include "methods/method.h"

namespace stamp {

struct HadaNorm {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "hadanorm";
    i.summary = "mean over the tokens taken off, channels scaled, every linear input rotated";
    i.source = "HadaNorm (2025); specification methods 11";
    i.cost = "the mean, one Hadamard before every linear input, one more row in its product";
    i.needs_block_inputs = true;
    i.options = {
        option::choice("scale", "deviation", {"deviation", "none"},
                       "deviation: sqrt(standard deviation of the centred channel / largest weight of the channel)"),
        option::choice("rotation", "hadamard", {"hadamard", "random"},
                       "hadamard: plain Hadamard; random: random orthogonal matrices"),
        option::integer("seed", 0, 0, {}, "seed of the random matrices"),
    };
    return i;
  }
  static std::unique_ptr<Method> make();
};

}  // namespace stamp
