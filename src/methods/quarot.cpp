#include "methods/quarot.h"

#include "base/error.h"
#include "models/network.h"
#include "models/weight_algebra.h"

namespace stamp {
namespace {

using Transform = std::shared_ptr<const FeatureTransform>;

class Rotations {
 public:
  Rotations(const MethodContext& context)
      : random_(text_option(context.options, "rotation") == "random"),
        seed_(context.seed + static_cast<std::uint64_t>(integer_option(context.options, "seed"))),
        warn_(context.warn) {}

  // Of the residual stream: signs make a Hadamard matrix one of many, so that its seed matters.
  Transform residual(std::int64_t size) const {
    if (!random_ && hadamard_exists(size)) return randomized_hadamard(size, seed_, "quarot residual");
    return orthogonal(size, "quarot residual", "the residual stream");
  }
  Transform plain(std::int64_t size, const std::string& purpose, const std::string& what) const {
    if (!random_ && hadamard_exists(size)) return hadamard(size);
    return orthogonal(size, "quarot " + purpose, what);
  }

 private:
  Transform orthogonal(std::int64_t size, const std::string& purpose, const std::string& what) const {
    if (!random_ && warn_)
      warn_("quarot: no Hadamard matrix of size " + std::to_string(size) + " is known; " + what +
            " is rotated with a seeded random orthogonal matrix");
    return random_orthogonal(size, seed_, purpose, torch_gemm);
  }
  bool random_;
  std::uint64_t seed_;
  const std::function<void(const std::string&)>& warn_;
};

class QuaRotMethod : public Method {
 public:
  void prepare(Network& network, const MethodContext& context) const override {
    ResidualRotation* residual = network.residual_rotation();
    if (!residual)
      throw TrialError("method", "quarot needs a model whose residual stream can be rotated (a decoder with RMSNorm)");
    const Rotations rotations(context);
    residual->fold_norms();
    residual->rotate(rotations.residual(residual->width()));

    std::vector<ResidualRotation::AttentionBlock> blocks = residual->blocks();
    if (blocks.empty()) return;
    // All blocks of a decoder have one shape; the transforms are shared.
    const ResidualRotation::AttentionBlock& first = blocks.front();
    const std::int64_t heads = first.heads, head_dim = first.head_dim, feed_forward = first.down->info().features;
    const Transform per_head = rotations.plain(head_dim, "head", "every head");
    const Transform across_heads = rotations.plain(heads, "heads", "the set of heads");
    const Transform inner = rotations.plain(feed_forward, "feed-forward", "the input of down_proj");
    const Transform attention_input =
        kronecker(across_heads, heads, per_head, head_dim);  // in two halves: values, then online
    const Transform attention_online = kronecker(across_heads, heads, nullptr, head_dim);
    const WeightRotation value_rotation(*per_head), output_rotation(*attention_input), down_rotation(*inner);
    for (ResidualRotation::AttentionBlock& block : blocks) {
      LinearWeight& value = block.qkv->weights()[2];
      value_rotation.rotate_outputs(value.weight, value.bias);
      output_rotation.rotate_inputs(block.output->weights()[0].weight);
      block.output->set_online(attention_online);
      down_rotation.rotate_inputs(block.down->weights()[0].weight);
      block.down->set_online(inner);
      // After RoPE, which does not commute with it; of use only to a quantizer of the keys.
      if (context.key_cache_quantized) block.key->set_head_rotation(per_head);
    }
  }
};

}  // namespace

std::unique_ptr<Method> QuaRot::make() {
  return std::make_unique<QuaRotMethod>();
}

}  // namespace stamp
