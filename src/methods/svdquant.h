// SVDQuant: smoothing by search, the largest singular directions of every weight in 16 bit. Specification methods 9.
#pragma once
#include "base/option_info.h"
#include "methods/method.h"

namespace stamp {

struct SvdQuant {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "svdquant";
    i.summary = "searched channel scales; a low-rank part of every weight reads the unquantized input in 16 bit";
    i.source = "SVDQuant (Li et al. 2024); specification methods 9";
    i.cost = "rank (d + m) products a token for every linear layer, and a scale where it cannot be folded";
    i.needs_block_inputs = true;
    i.trained = true;  // the search looks at the grids of the trial
    i.options = {
        option::integer("rank", 32, 1, 4096, "of the part in 16 bit"),
        option::integer("grid", 20, 1, 100, "steps of the search for the two exponents of the scale: 2 grid - 1 pairs"),
        option::integer(
            "iterations", 100, 1, 10000,
            "most repetitions of decomposing what rounding has left; ends at the first increase of the error"),
        option::integer("rows", 512, 1, {}, "calibration rows that a layer's error is measured on"),
    };
    return i;
  }
  static std::unique_ptr<Method> make();
};

}  // namespace stamp
