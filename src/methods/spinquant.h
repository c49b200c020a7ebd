// SpinQuant: QuaRot's rotations of residual stream, values and feed-forward, two of them learned. Specification
// methods 7.
#pragma once
#include "base/option_info.h"
#include "methods/method.h"

namespace stamp {

struct SpinQuant {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "spinquant";
    i.summary = "learned rotations of residual stream and heads, folded into the weights; two Hadamards online";
    i.source = "SpinQuant (Liu et al. 2024); Cayley descent (Li et al. 2020); specification methods 7";
    i.cost = "one Hadamard before down_proj, one per head on q and k; none before o_proj. Training once, then kept";
    i.trained = true;
    i.refuse = [](const PlanFacts& facts) -> std::string {
      return facts.grid ? "it learns rotations of the residual stream of a decoder, and an image model has none that "
                          "could be rotated; use quarot, svdquant, viditq or hadanorm"
                        : "";
    };
    i.options = {
        option::flag("learn", true,
                     "true: R1 and R2 are trained on the calibration text; false: they stay as they begin"),
        option::choice("rotation", "hadamard", {"hadamard", "random"},
                       "what R1 and R2 begin as: randomized Hadamard, or random orthogonal matrices (then R3 and R4 "
                       "too)"),
        option::integer("steps", 100, 1, 100000, "training steps"),
        option::integer("tokens", 512, 2, 1 << 20, "tokens of one training sequence, cut from calibration items"),
        option::integer("batch", 1, 1, 1024, "sequences of one step"),
        option::real("learning_rate", 1.5, 0, 1000,
                     "of the first step, down to 0 along half a cosine; a step is never longer than the Cayley bound"),
        option::integer("train_weight_bits", 16, 2, 16,
                        "bits of the weights while training, symmetric per channel; 16 where GPTQ follows"),
        option::choice("arithmetic", "bfloat16", {"bfloat16", "float32"},
                       "of the matrix products while training, rotations and sums stay float32 and float64; bfloat16 "
                       "is the slower "
                       "one on processors that do not multiply it (avx512_bf16, amx_bf16)"),
        option::integer("seed", 0, 0, 1e15, "seed of the rotations and of the order of training sequences"),
    };
    return i;
  }
  static std::unique_ptr<Method> make();
};

}  // namespace stamp
