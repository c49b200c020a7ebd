#include "methods/flatquant.h"

#include <c10/core/InferenceMode.h>

#include "base/error.h"
#include "base/text.h"
#include "methods/flatquant_fold.h"
#include "models/network.h"
#include "training/flatquant_trainer.h"

namespace stamp {
namespace {

// Raised when the training or what is kept of it changes.
constexpr int stored_version = 1;

training::FlatQuantOptions options_of(const MethodContext& context) {
  const Json& given = context.options;
  training::FlatQuantOptions o;
  o.parametrization = text_option(given, "parametrization") == "svd" ? training::Parametrization::svd
                                                                     : training::Parametrization::direct_inv;
  o.transforms = flag_option(given, "transforms");
  o.diagonals = flag_option(given, "diag");
  o.weight_clips = flag_option(given, "lwc");
  o.activation_clips = flag_option(given, "lac");
  o.diagonal_alpha = real_option(given, "diag_alpha");
  o.epochs = integer_option(given, "epochs");
  o.batch = integer_option(given, "batch");
  o.tokens = integer_option(given, "tokens");
  o.learning_rate = real_option(given, "learning_rate");
  o.clip_learning_rate = real_option(given, "clip_learning_rate");
  o.product = text_option(given, "arithmetic") == "float32" ? training::Product::float32 : training::Product::bfloat16;
  o.seed = context.seed + static_cast<std::uint64_t>(integer_option(given, "seed"));
  return o;
}

class Training : public MethodRun {
 public:
  Training(Network& network, ResidualRotation& sites, const MethodContext& context)
      : network_(network), sites_(sites), context_(context), options_(options_of(context)) {}

  void block(std::size_t index) override {
    const Json key = {{"method", "flatquant"}, {"version", stored_version}, {"block", index}};
    training::FlatQuantBlock learned;
    if (const auto stored = context_.store->load(key)) {
      learned = training::flatquant_block(*stored);
    } else {
      learned = train(index);
      context_.store->store(key, training::bytes_of(learned));
    }
    if (!learned.trained && context_.warn)
      context_.warn("flatquant: training did not improve block " + std::to_string(index) + " (mean squared error " +
                    number_text(learned.last_loss) + " after, " + number_text(learned.first_loss) +
                    " before); it keeps its untrained start");
    if (context_.record_training)
      context_.record_training({{"block", index},
                                {"loss", learned.losses},
                                {"first", learned.first_loss},
                                {"last", learned.last_loss},
                                {"trained", learned.trained}});
    const QuantizationSpec& q = context_.quantization;
    fold_flatquant(sites_.attention(index), learned, {q.activations.bits, q.kv_cache.bits});
  }

 private:
  training::FlatQuantBlock train(std::size_t index) const {
    // The engine runs in inference mode, whose tensors no gradient can pass.
    const c10::InferenceMode off(false);
    const training::DecoderBlock block = training::read_block(network_, index, "flatquant");
    const training::TrainingRows rows =
        training::cut_rows(context_.calibration->count(), context_.block_input, options_.tokens);
    const std::int64_t steps = training::training_steps(options_, rows.inputs.size());
    auto done = static_cast<std::int64_t>(index) * steps;
    const std::int64_t total = static_cast<std::int64_t>(network_.blocks()) * steps;
    training::TrainingHooks hooks;
    hooks.step = [&] {
      if (context_.step) context_.step(++done, total);
    };
    return training::train_block(block, rows, context_.quantization, options_, "block " + std::to_string(index), hooks);
  }

  Network& network_;
  ResidualRotation& sites_;
  const MethodContext context_;
  const training::FlatQuantOptions options_;
};

class FlatQuantMethod : public Method {
 public:
  std::unique_ptr<MethodRun> start(Network& network, const MethodContext& context) const override {
    ResidualRotation* sites = network.residual_rotation();
    if (!sites)
      throw TrialError("method", "flatquant trains the blocks of decoder language models; this model is none");
    if (!context.store || !context.calibration || !context.block_input)
      throw std::logic_error("flatquant needs calibration items, block inputs and a store");
    const WeightSpec& w = context.quantization.weights;
    if (context.warn && w.bits < 16 && w.quantizer == "rtn" && w.clip_search && flag_option(context.options, "lwc"))
      context.warn(
          "flatquant learns where weights are clipped, for plain min-max rounding; weights.clip_search is on and "
          "shrinks "
          "their ranges once more");
    return std::make_unique<Training>(network, *sites, context);
  }
};

}  // namespace

std::unique_ptr<Method> FlatQuant::make() {
  return std::make_unique<FlatQuantMethod>();
}

}  // namespace stamp
