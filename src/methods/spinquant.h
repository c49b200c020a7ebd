// SpinQuant: QuaRot's rotations of residual stream, values and feed-forward, two of them learned. Specification
// methods 7.
#pragma once
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
    OptionInfo learn;
    learn.name = "learn";
    learn.type = OptionInfo::Type::boolean;
    learn.fallback = true;
    learn.help = "true: R1 and R2 are trained on the calibration text; false: they stay as they begin";
    OptionInfo rotation;
    rotation.name = "rotation";
    rotation.type = OptionInfo::Type::choice;
    rotation.fallback = "hadamard";
    rotation.choices = {"hadamard", "random"};
    rotation.help = "what R1 and R2 begin as: randomized Hadamard, or random orthogonal matrices (then R3 and R4 too)";
    OptionInfo steps = integer("steps", 100, 1, 100000, "training steps");
    OptionInfo tokens =
        integer("tokens", 512, 2, 1 << 20, "tokens of one training sequence, cut from calibration items");
    OptionInfo batch = integer("batch", 1, 1, 1024, "sequences of one step");
    OptionInfo rate;
    rate.name = "learning_rate";
    rate.type = OptionInfo::Type::real;
    rate.fallback = 1.5;
    rate.min = 0;
    rate.max = 1000;
    rate.help = "of the first step, down to 0 along half a cosine; a step is never longer than the Cayley bound";
    OptionInfo weights = integer("train_weight_bits", 16, 2, 16,
                                 "bits of the weights while training, symmetric per channel; 16 where GPTQ follows");
    OptionInfo arithmetic;
    arithmetic.name = "arithmetic";
    arithmetic.type = OptionInfo::Type::choice;
    arithmetic.fallback = "bfloat16";
    arithmetic.choices = {"bfloat16", "float32"};
    arithmetic.help = "of the matrix products while training; rotations and sums stay float32 and float64";
    OptionInfo seed = integer("seed", 0, 0, 1e15, "seed of the rotations and of the order of training sequences");
    i.options = {learn, rotation, steps, tokens, batch, rate, weights, arithmetic, seed};
    return i;
  }
  static std::unique_ptr<Method> make();

 private:
  static OptionInfo integer(std::string name, std::int64_t fallback, double min, double max, std::string help) {
    OptionInfo o;
    o.name = std::move(name);
    o.type = OptionInfo::Type::integer;
    o.fallback = fallback;
    o.min = min;
    o.max = max;
    o.help = std::move(help);
    return o;
  }
};

}  // namespace stamp
