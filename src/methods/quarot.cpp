#include "methods/quarot.h"

#include <optional>

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
  std::function<void(const std::string&)> warn_;
};

class Rotating : public MethodRun {
 public:
  // All blocks of a decoder have one shape; the transforms are shared.
  Rotating(ResidualRotation& residual, const Rotations& rotations, Transform stream, bool key_cache_quantized)
      : residual_(residual), stream_(std::move(stream)), stream_rotation_(*stream_), keys_(key_cache_quantized) {
    const ResidualRotation::AttentionBlock first = residual.attention(0);
    per_head_ = rotations.plain(first.head_dim, "head", "every head");
    const Transform across_heads = rotations.plain(first.heads, "heads", "the set of heads");
    inner_ = rotations.plain(first.down->info().features, "feed-forward", "the input of down_proj");
    // In two halves: values, then online.
    attention_input_ = kronecker(across_heads, first.heads, per_head_, first.head_dim);
    attention_online_ = kronecker(across_heads, first.heads, nullptr, first.head_dim);
    value_rotation_.emplace(*per_head_);
    output_rotation_.emplace(*attention_input_);
    down_rotation_.emplace(*inner_);
  }

  void block(std::size_t index) override {
    residual_.fold_norms(index);
    residual_.rotate(index, stream_rotation_);
    const ResidualRotation::AttentionBlock block = residual_.attention(index);
    LinearWeight& value = block.qkv->weights()[2];
    value_rotation_->rotate_outputs(value.weight, value.bias);
    output_rotation_->rotate_inputs(block.output->weights()[0].weight);
    block.output->set_online(attention_online_);
    down_rotation_->rotate_inputs(block.down->weights()[0].weight);
    block.down->set_online(inner_);
    // After RoPE, which does not commute with it; of use only to a quantizer of the keys.
    if (keys_) block.key->set_head_rotation(per_head_);
  }

 private:
  ResidualRotation& residual_;
  Transform stream_;
  WeightRotation stream_rotation_;
  bool keys_;
  Transform per_head_, inner_, attention_input_, attention_online_;
  std::optional<WeightRotation> value_rotation_, output_rotation_, down_rotation_;
};

class QuaRotMethod : public Method {
 public:
  std::unique_ptr<MethodRun> start(Network& network, const MethodContext& context) const override {
    ResidualRotation* residual = network.residual_rotation();
    if (!residual)
      throw TrialError("method", "quarot needs a model whose residual stream can be rotated (a decoder with RMSNorm)");
    if (const std::string why = residual->refusal(); !why.empty()) throw TrialError("method", "quarot: " + why);
    const Rotations rotations(context);
    Transform stream = rotations.residual(residual->width());
    residual->fold_final_norm();
    residual->rotate_ends(stream);
    return std::make_unique<Rotating>(*residual, rotations, std::move(stream), context.quantization.kv_cache.bits < 16);
  }
};

}  // namespace

std::unique_ptr<Method> QuaRot::make() {
  return std::make_unique<QuaRotMethod>();
}

}  // namespace stamp
