#include "methods/spinquant.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <optional>
#include <stdexcept>

#include "base/error.h"
#include "methods/spinquant_decoder.h"
#include "models/network.h"
#include "models/weight_algebra.h"
#include "training/cayley.h"
#include "training/spinquant_trainer.h"

namespace stamp {
namespace {

using training::FakeQuantize;
using training::Rotations;
using training::SpinQuantState;
using Transform = std::shared_ptr<const FeatureTransform>;

// A dense orthonormal matrix that no faster routine is known for.
class Learned final : public FeatureTransform {
 public:
  explicit Learned(const at::Tensor& matrix) : size_(matrix.size(0)), exact_(values_of(matrix)) {
    rounded_.assign(exact_.begin(), exact_.end());
  }
  std::int64_t size() const override { return size_; }
  std::string name() const override { return "learned rotation " + std::to_string(size_); }
  void apply(MatrixView rows) const override { multiply(rows, false); }
  void invert(MatrixView rows) const override { multiply(rows, true); }
  std::vector<double> matrix() const override { return exact_; }

 private:
  static std::vector<double> values_of(const at::Tensor& matrix) {
    const at::Tensor dense = matrix.contiguous();
    return {dense.const_data_ptr<double>(), dense.const_data_ptr<double>() + dense.numel()};
  }
  void multiply(MatrixView rows, bool transposed) const {
    if (rows.cols != size_) throw std::logic_error(name() + " on rows of " + std::to_string(rows.cols));
    std::vector<float> copy(static_cast<std::size_t>(rows.rows * size_));
    for (std::int64_t i = 0; i < rows.rows; ++i) std::copy_n(rows.row(i), size_, copy.data() + i * size_);
    torch_gemm({copy.data(), rows.rows, size_, size_}, {rounded_.data(), size_, size_, size_}, transposed, rows);
  }
  std::int64_t size_;
  std::vector<double> exact_;
  std::vector<float> rounded_;
};

// The four rotations, made alike for the trained and the untrained variant.
class Beginnings {
 public:
  explicit Beginnings(const MethodContext& context)
      : random_(text_option(context.options, "rotation") == "random"),
        seed_(context.seed + static_cast<std::uint64_t>(integer_option(context.options, "seed"))),
        warn_(context.warn) {}

  // Learned ones: signs make a Hadamard matrix one of many.
  Transform signed_one(std::int64_t size, const std::string& purpose, const std::string& what) const {
    if (!random_ && hadamard_exists(size)) return randomized_hadamard(size, seed_, "spinquant " + purpose);
    return orthogonal(size, purpose, what);
  }
  // Fixed ones.
  Transform plain(std::int64_t size, const std::string& purpose, const std::string& what) const {
    if (!random_ && hadamard_exists(size)) return hadamard(size);
    return orthogonal(size, purpose, what);
  }
  std::uint64_t seed() const { return seed_; }

 private:
  Transform orthogonal(std::int64_t size, const std::string& purpose, const std::string& what) const {
    if (!random_ && warn_)
      warn_("spinquant: no Hadamard matrix of size " + std::to_string(size) + " is known; " + what +
            " is rotated with a seeded random orthogonal matrix");
    return random_orthogonal(size, seed_, "spinquant " + purpose, torch_gemm);
  }
  bool random_;
  std::uint64_t seed_;
  std::function<void(const std::string&)> warn_;
};

struct Parts {
  Transform residual;            // R1
  std::vector<Transform> heads;  // R2, one a block
  Transform key;                 // R3, null where the key cache is not quantized
  Transform down;                // R4
};

Parts beginnings(const Beginnings& make, ResidualRotation& residual, std::size_t blocks, bool keys) {
  const ResidualRotation::AttentionBlock first = residual.attention(0);  // all blocks of a decoder have one shape
  Parts parts;
  parts.residual = make.signed_one(residual.width(), "residual", "the residual stream");
  for (std::size_t b = 0; b < blocks; ++b)
    parts.heads.push_back(make.signed_one(first.head_dim, "head " + std::to_string(b), "every head"));
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

FakeQuantize grid_of(const ActivationSpec& spec) {
  FakeQuantize how;
  how.bits = spec.bits;
  how.symmetric = spec.symmetric;
  how.clip = spec.clip;
  how.group = spec.granularity == "group" ? spec.group_size : 0;
  return how;
}

FakeQuantize grid_of(const CacheSpec& spec, std::int64_t head_dim) {
  FakeQuantize how;
  how.bits = spec.bits;
  how.symmetric = spec.symmetric;
  how.clip = spec.clip;
  how.group = spec.granularity == "head" ? head_dim : 0;
  return how;
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
  options.activations = grid_of(context.quantization.activations);
  options.keys = options.values = grid_of(context.quantization.kv_cache, head_dim);
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
    ResidualRotation* residual = network.residual_rotation();
    if (!residual)
      throw TrialError("method",
                       "spinquant needs a model whose residual stream can be rotated (a decoder with RMSNorm)");
    if (const std::string why = residual->refusal(); !why.empty()) throw TrialError("method", "spinquant: " + why);
    const QuantizationSpec& q = context.quantization;
    const Beginnings make(context);
    Parts parts = beginnings(make, *residual, network.blocks(), q.kv_cache.bits < 16);
    residual->fold_final_norm();
    if (flag_option(context.options, "learn")) {
      if (q.activations.bits >= 16 && q.kv_cache.bits >= 16 &&
          integer_option(context.options, "train_weight_bits") >= 16) {
        // The loss does not depend on the rotations then.
        if (context.warn) context.warn("spinquant: nothing is quantized while training; the rotations are not trained");
      } else {
        const Rotations learned = trained(network, context, parts, make.seed());
        // Folding takes R^T for R^-1.
        parts.residual = std::make_shared<Learned>(training::orthonormal_rows(learned.residual));
        for (std::size_t b = 0; b < parts.heads.size(); ++b)
          parts.heads[b] = std::make_shared<Learned>(training::orthonormal_rows(learned.heads[b]));
      }
    }
    residual->rotate_ends(parts.residual);
    return std::make_unique<Spinning>(*residual, std::move(parts));
  }
};

}  // namespace

std::unique_ptr<Method> SpinQuant::make() {
  return std::make_unique<SpinQuantMethod>();
}

}  // namespace stamp
