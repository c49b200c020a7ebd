// FlatQuant: learned Kronecker transforms, scales and clip factors, trained block by block. Specification methods 8.
#pragma once
#include "base/option_info.h"
#include "methods/method.h"

namespace stamp {

struct FlatQuant {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "flatquant";
    i.summary = "learned Kronecker transforms, channel scales and clip factors, trained block by block";
    i.source = "FlatQuant (Sun et al. 2024); specification methods 8";
    i.cost =
        "per layer and token: a Kronecker product of n (n1 + n2) multiply-adds before qkv, gate/up and down, one "
        "matrix of "
        "heads x heads before o_proj, one of head_dim x head_dim per head on q and k; scales are folded. Training "
        "once, "
        "then kept";
    i.needs_block_inputs = true;
    i.trained = true;
    i.refuse = [](const PlanFacts& facts) -> std::string {
      return facts.grid ? "it trains the blocks of decoder language models; use quarot, svdquant, viditq or hadanorm"
                        : "";
    };
    i.options = {
        option::choice(
            "parametrization", "svd", {"svd", "direct_inv"},
            "of the matrices. svd: U diag(s) V^T, U and V by Cayley maps; direct_inv: a free matrix and its inverse"),
        option::flag("transforms", true, "learn the matrices"),
        option::flag("diag", true, "learn a scale for every channel before the matrices"),
        option::flag("lwc", true, "learn clip factors of every weight row"),
        option::flag("lac", true, "learn clip factors of every activation slot, for its low-bit rows"),
        option::real("diag_alpha", 0.3, 0, 1, "start of the scales: weight maximum ^ (1 - a) / activation maximum ^ a"),
        option::integer("epochs", FlatQuant::default_epochs, 0, 1000,
                        "passes over the calibration items; 0: the untrained start"),
        option::integer("batch", 4, 1, 1024, "training sequences of one step"),
        option::integer("tokens", 512, 0, 1 << 20,
                        "tokens of one training sequence, cut from the calibration items; 0: whole items"),
        option::real("learning_rate", 5e-3, 0, 10, "of matrices and scales, down to 5e-6 along half a cosine"),
        option::real("clip_learning_rate", 5e-2, 0, 10, "of clip factors, down to 5e-6 along half a cosine"),
        option::choice(
            "arithmetic", "bfloat16", {"bfloat16", "float32"},
            "of the linear layers' products while training, everything else is float32; bfloat16 is the slower one on "
            "processors that do not multiply it (avx512_bf16, amx_bf16)"),
        option::integer("seed", 0, 0, 1e15, "seed of the random orthogonal matrices that training starts from"),
    };
    return i;
  }
  static std::unique_ptr<Method> make();
  // Not the published 15: a block of a 135M model then costs some 43 seconds of one core (docs/flatquant.md).
  static constexpr std::int64_t default_epochs = 4;
};

}  // namespace stamp
