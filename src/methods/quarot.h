// QuaRot: norms folded, residual stream, heads and feed-forward rotated. Specification methods 6.
#pragma once
#include "methods/method.h"

namespace stamp {

struct QuaRot {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "quarot";
    i.summary = "rotations of residual stream, heads and feed-forward, most of them folded into the weights";
    i.source = "QuaRot (Ashkboos et al. 2024); specification methods 6";
    i.cost = "one Hadamard before down_proj, one across heads before o_proj, one per head on q and k";
    OptionInfo kind;
    kind.name = "rotation";
    kind.type = OptionInfo::Type::choice;
    kind.fallback = "hadamard";
    kind.choices = {"hadamard", "random"};
    kind.help = "hadamard: randomized Hadamard; random: random orthogonal matrices everywhere";
    OptionInfo seed;
    seed.name = "seed";
    seed.type = OptionInfo::Type::integer;
    seed.fallback = 0;
    seed.min = 0;
    seed.help = "seed of the random signs or matrices";
    i.options = {kind, seed};
    return i;
  }
  static std::unique_ptr<Method> make();
};

}  // namespace stamp
