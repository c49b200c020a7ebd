// ViDiT-Q: static channel balancing, then a rotation against what varies over time. Specification methods 10.
#pragma once
#include "base/option_info.h"
#include "methods/method.h"

namespace stamp {

struct ViDiTQ {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "viditq";
    i.summary = "channel scales between activations and weights, then a rotation of every linear input";
    i.source = "ViDiT-Q (Zhao et al. 2024), static-dynamic channel balancing; specification methods 10";
    i.cost = "one Hadamard before every linear input, and a scale where it cannot be folded";
    i.needs_block_inputs = true;
    i.options = {
        option::choice(
            "recipe", "2025", {"2025", "2024"},
            "2025: largest values of all tokens, then the rotation; 2024: scales alone, from a moving average "
            "of the largest values of each item"),
        option::real("alpha", 0.5, 0, 1,
                     "migration strength as in smoothquant; published: 0.01 (there written 0.99) and 0.3"),
        option::choice("layers", "all", {"all", "last"},
                       "all inputs, or the last one of the last block alone, as the 2024 code does for PixArt"),
        option::choice("rotation", "hadamard", {"hadamard", "random"},
                       "hadamard: randomized Hadamard; random: random orthogonal matrices"),
        option::integer("seed", 0, 0, {}, "seed of the random signs or matrices"),
    };
    return i;
  }
  static std::unique_ptr<Method> make();
};

}  // namespace stamp
