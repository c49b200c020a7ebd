#include "methods/spinquant.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <optional>
#include <stdexcept>

#include "base/error.h"
#include "methods/seeded_rotations.h"
#include "methods/spinquant_decoder.h"
#include "models/network.h"
#include "models/weight_algebra.h"
#include "training/cayley.h"
#include "training/spinquant_trainer.h"
#include "training/trial_rules.h"

namespace stamp {
namespace {

using training::Rotations;
using training::SpinQuantState;
using Transform = std::shared_ptr<const FeatureTransform>;

// Orthonormal, float64, n x n; its inverse is its transpose.
Transform learned_rotation(const at::Tensor& matrix) {
  const auto values_of = [](const at::Tensor& m) {
    const at::Tensor plain = m.contiguous();
    return std::vector<double>(plain.const_data_ptr<double>(), plain.const_data_ptr<double>() + plain.numel());
  };
  const std::int64_t n = matrix.size(0);
  return dense("learned rotation " + std::to_string(n), n, values_of(matrix), values_of(matrix.t()), torch_gemm);
}

struct Parts {
  Transform residual;            // R1
  std::vector<Transform> heads;  // R2, one a block
  Transform key;                 // R3, null where the key cache is not quantized
  Transform down;                // R4
};

// The four rotations, made alike for the trained and the untrained variant.
Parts beginnings(const SeededRotations& make, ResidualRotation& residual, std::size_t blocks, bool keys) {
  const ResidualRotation::AttentionBlock first = residual.attention(0);  // all blocks of a decoder have one shape
  Parts parts;
  parts.residual = make.with_signs(residual.width(), "residual", "the residual stream");
  for (std::size_t b = 0; b < blocks; ++b)
    parts.heads.push_back(make.with_signs(first.head_dim, "head " + std::to_string(b), "every head"));
  // After RoPE, which does not commute with it; of use only to a quantizer of the keys.
  if (keys) parts.key = make.plain(first.head_dim, "key", "every query and key head");
  parts.down = make.plain(first.down->info().features, "feed-forward", "the input of down_proj");
  return parts;
}

at::Tensor matrix_of(const FeatureTransform& transform) {
  const std::vector<double> values = transform.matrix();
  at::Tensor out = at::empty({transform.size(), transform.size()}, at::TensorOptions(at::kDouble));
  std::copy(values.begin(), values.end(), out.data_ptr<double>());
  return out;
}

// Training sequences: the calibration items cut into pieces of `tokens`; a shorter rest is dropped, shorter items stay
// whole. n x s.
at::Tensor training_sequences(const Workload& calibration, std::int64_t tokens) {
  const std::int64_t length = std::min(tokens, calibration.tokens_per_item());
  if (length < 2)
    throw TrialError("training", "spinquant: a training sequence needs two tokens or more; calibration.context is " +
                                     std::to_string(calibration.tokens_per_item()));
  const std::int64_t pieces = calibration.tokens_per_item() / length, items = calibration.count();
  at::Tensor out = at::empty({items * pieces, length}, at::TensorOptions(at::kLong));
  for (std::int64_t i = 0; i < items; ++i) {
    const at::Tensor ids = calibration.item(i).inputs.at("ids").contiguous();
    std::copy_n(ids.const_data_ptr<std::int64_t>(), pieces * length,
                out.data_ptr<std::int64_t>() + i * pieces * length);
  }
  return out;
}

void record(const SpinQuantState& state, const MethodContext& context) {
  if (!context.record_training) return;
  for (std::size_t i = 0; i < state.losses.size(); ++i)
    context.record_training({{"step", i + 1}, {"loss", state.losses[i]}});
  context.record_training({{"probe_loss_before", state.before}, {"probe_loss_after", state.after}});
}

Rotations trained(Network& network, const MethodContext& context, const Parts& parts, std::uint64_t seed) {
  if (!context.calibration) throw std::logic_error("spinquant trains on calibration items");
  const c10::InferenceMode off(false);
  const Json& o = context.options;
  const std::int64_t head_dim = parts.heads.at(0)->size();
  training::SpinQuantOptions options;
  options.activations = training::rule_of(context.quantization.activations);
  options.keys = options.values = training::rule_of(context.quantization.kv_cache, head_dim);
  options.weights.bits = static_cast<double>(integer_option(o, "train_weight_bits"));
  options.weights.symmetric = true;
  options.key_rotation = parts.key;
  options.down_rotation = parts.down;
  options.product =
      text_option(o, "arithmetic") == "bfloat16" ? training::Product::bfloat16 : training::Product::float32;
  const training::SpinQuantObjective objective(frozen_decoder(network), options);

  training::SpinQuantSchedule schedule;
  schedule.steps = integer_option(o, "steps");
  schedule.batch = integer_option(o, "batch");
  schedule.rate = real_option(o, "learning_rate");
  schedule.seed = seed;

  SpinQuantState state;
  state.rotations.residual = matrix_of(*parts.residual);
  for (const Transform& head : parts.heads) state.rotations.heads.push_back(matrix_of(*head));
  const Json part = "rotations";
  if (context.store)
    if (const auto kept = context.store->load(part)) {
      if (auto read = training::state_from(*kept, state.rotations))
        state = std::move(*read);
      else if (context.warn)
        context.warn("spinquant: the kept training state does not fit this model; training starts afresh");
    }
  training::SpinQuantWatch watch;
  watch.step = context.step;
  if (context.store) watch.keep = [&](const SpinQuantState& s) { context.store->store(part, training::bytes_of(s)); };
  state = train_rotations(objective, training_sequences(*context.calibration, integer_option(o, "tokens")), schedule,
                          std::move(state), watch);
  record(state, context);
  if (context.warn && !(state.after < state.before))
    context.warn("spinquant: training did not lower the loss of its probe sequences");
  return state.rotations;
}

class Spinning : public MethodRun {
 public:
  Spinning(ResidualRotation& residual, Parts parts)
      : residual_(residual), parts_(std::move(parts)), stream_(*parts_.residual), down_(*parts_.down) {}

  void block(std::size_t index) override {
    residual_.fold_norms(index);
    residual_.rotate(index, stream_);
    const ResidualRotation::AttentionBlock block = residual_.attention(index);
    const WeightRotation head(*parts_.heads[index]);
    LinearWeight& value = block.qkv->weights()[2];
    head.rotate_outputs(value.weight, value.bias);
    // o_proj reads the values of every head times R2: all blocks of head_dim columns at once. Nothing across heads.
    at::Tensor by_head = block.output->weights()[0].weight.view({-1, block.head_dim});
    head.rotate_inputs(by_head);
    down_.rotate_inputs(block.down->weights()[0].weight);
    block.down->set_online(parts_.down);
    if (parts_.key) block.key->set_head_rotation(parts_.key);
  }

 private:
  ResidualRotation& residual_;
  Parts parts_;
  WeightRotation stream_, down_;
};

class SpinQuantMethod : public Method {
 public:
  std::unique_ptr<MethodRun> start(Network& network, const MethodContext& context) const override {
    ResidualRotation& residual = rotatable(network, "spinquant");
    const QuantizationSpec& q = context.quantization;
    const SeededRotations make(context, "spinquant");
    Parts parts = beginnings(make, residual, network.blocks(), q.kv_cache.bits < 16);
    residual.fold_final_norm();
    if (flag_option(context.options, "learn")) {
      if (q.activations.bits >= 16 && q.kv_cache.bits >= 16 &&
          integer_option(context.options, "train_weight_bits") >= 16) {
        // The loss does not depend on the rotations then.
        if (context.warn) context.warn("spinquant: nothing is quantized while training; the rotations are not trained");
      } else {
        const Rotations learned = trained(network, context, parts, make.seed());
        // Folding takes R^T for R^-1.
        parts.residual = learned_rotation(training::orthonormal_rows(learned.residual));
        for (std::size_t b = 0; b < parts.heads.size(); ++b)
          parts.heads[b] = learned_rotation(training::orthonormal_rows(learned.heads[b]));
      }
    }
    residual.rotate_ends(parts.residual);
    return std::make_unique<Spinning>(residual, std::move(parts));
  }
};

}  // namespace

std::unique_ptr<Method> SpinQuant::make() {
  return std::make_unique<SpinQuantMethod>();
}

}  // namespace stamp
