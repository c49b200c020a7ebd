// FlatQuant: learned Kronecker transforms, scales and clip factors, trained block by block. Specification methods 8.
#pragma once
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
    i.options = {
        choice(
            "parametrization", "svd", {"svd", "direct_inv"},
            "of the matrices. svd: U diag(s) V^T, U and V by Cayley maps; direct_inv: a free matrix and its inverse"),
        flag("transforms", "learn the matrices"),
        flag("diag", "learn a scale for every channel before the matrices"),
        flag("lwc", "learn clip factors of every weight row"),
        flag("lac", "learn clip factors of every activation slot, for its low-bit rows"),
        real("diag_alpha", 0.3, 0, 1, "start of the scales: weight maximum ^ (1 - a) / activation maximum ^ a"),
        integer("epochs", FlatQuant::default_epochs, 0, 1000,
                "passes over the calibration items; 0: the untrained start"),
        integer("batch", 4, 1, 1024, "training sequences of one step"),
        integer("tokens", 512, 0, 1 << 20,
                "tokens of one training sequence, cut from the calibration items; 0: whole items"),
        real("learning_rate", 5e-3, 0, 10, "of matrices and scales, down to 5e-6 along half a cosine"),
        real("clip_learning_rate", 5e-2, 0, 10, "of clip factors, down to 5e-6 along half a cosine"),
        choice("arithmetic", "bfloat16", {"bfloat16", "float32"},
               "of the linear layers' products while training; everything else is float32"),
        integer("seed", 0, 0, 1e15, "seed of the random orthogonal matrices that training starts from"),
    };
    return i;
  }
  static std::unique_ptr<Method> make();
  // Not the published 15: a block of a 135M model then costs some 43 seconds of one core (docs/flatquant.md).
  static constexpr std::int64_t default_epochs = 4;

 private:
  static OptionInfo option(std::string name, OptionInfo::Type type, Json fallback, std::string help) {
    OptionInfo o;
    o.name = std::move(name);
    o.type = type;
    o.fallback = std::move(fallback);
    o.help = std::move(help);
    return o;
  }
  static OptionInfo flag(std::string name, std::string help) {
    return option(std::move(name), OptionInfo::Type::boolean, true, std::move(help));
  }
  static OptionInfo choice(std::string name, std::string fallback, std::vector<std::string> choices, std::string help) {
    OptionInfo o = option(std::move(name), OptionInfo::Type::choice, std::move(fallback), std::move(help));
    o.choices = std::move(choices);
    return o;
  }
  static OptionInfo real(std::string name, double fallback, double min, double max, std::string help) {
    OptionInfo o = option(std::move(name), OptionInfo::Type::real, fallback, std::move(help));
    o.min = min;
    o.max = max;
    return o;
  }
  static OptionInfo integer(std::string name, std::int64_t fallback, double min, double max, std::string help) {
    OptionInfo o = option(std::move(name), OptionInfo::Type::integer, fallback, std::move(help));
    o.min = min;
    o.max = max;
    return o;
  }
};

}  // namespace stamp
