#include "methods/quarot.h"

#include <map>
#include <optional>

#include "methods/channel_balance.h"
#include "methods/seeded_rotations.h"
#include "models/network.h"
#include "models/weight_algebra.h"

namespace stamp {
namespace {

using Transform = std::shared_ptr<const FeatureTransform>;

class Rotating : public MethodRun {
 public:
  // All blocks of a decoder have one shape; the transforms are shared.
  Rotating(ResidualRotation& residual, const SeededRotations& rotations, Transform stream, bool key_cache_quantized)
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

// A network whose residual stream cannot be rotated, because norms between it and the layers are modulated: every
// linear input is rotated by itself, online, and the weights that read it to match. Specification methods 6.6.
class RotatingInputs : public MethodRun {
 public:
  RotatingInputs(Network& network, SeededRotations rotations) : network_(network), rotations_(std::move(rotations)) {}

  void block(std::size_t index) override {
    for (LinearSite* site : network_.block_sites(index)) {
      const std::int64_t features = site->info().features;
      balance(*site, std::vector<double>(static_cast<std::size_t>(features), 1.0), rotation(features));
    }
  }

 private:
  Transform rotation(std::int64_t size) {
    Transform& known = made_[size];
    if (!known) known = rotations_.plain(size, "input", "a linear input");
    return known;
  }

  Network& network_;
  SeededRotations rotations_;
  std::map<std::int64_t, Transform> made_;  // by size
};

class QuaRotMethod : public Method {
 public:
  std::unique_ptr<MethodRun> start(Network& network, const MethodContext& context) const override {
    const SeededRotations rotations(context, "quarot");
    if (!network.residual_rotation()) return std::make_unique<RotatingInputs>(network, rotations);
    ResidualRotation& residual = *network.residual_rotation();
    Transform stream = rotations.with_signs(residual.width(), "residual", "the residual stream");
    residual.fold_final_norm();
    residual.rotate_ends(stream);
    return std::make_unique<Rotating>(residual, rotations, std::move(stream), context.quantization.kv_cache.bits < 16);
  }
};

}  // namespace

std::unique_ptr<Method> QuaRot::make() {
  return std::make_unique<QuaRotMethod>();
}

}  // namespace stamp
