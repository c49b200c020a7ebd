// QuaRot: norms folded, residual stream, heads and feed-forward rotated; in image models every linear input by itself.
// Specification methods 6.
#pragma once
#include "base/option_info.h"
#include "methods/method.h"

namespace stamp {

struct QuaRot {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "quarot";
    i.summary =
        "rotations of residual stream, heads and feed-forward, most of them folded into the weights; of every linear "
        "input in image models";
    i.source = "QuaRot (Ashkboos et al. 2024); specification methods 6";
    i.cost =
        "one Hadamard before down_proj, one across heads before o_proj, one per head on q and k; in image models one "
        "before every linear input";
    i.options = {
        option::choice("rotation", "hadamard", {"hadamard", "random"},
                       "hadamard: randomized Hadamard; random: random orthogonal matrices everywhere"),
        option::integer("seed", 0, 0, {}, "seed of the random signs or matrices"),
    };
    return i;
  }
  static std::unique_ptr<Method> make();
};

}  // namespace stamp
