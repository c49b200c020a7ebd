// Prints, for scripts/reference/spinquant.py, what SpinQuant computes on a small model in float32: its rotations, the
// quantized loss and its gradients, one Cayley step, and a training of a few steps with all sequences in each.
//   spinquant_dump MODEL SEQUENCES.json BITS WEIGHT_BITS STEPS
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "methods/spinquant_decoder.h"
#include "models/decoder/decoder_network.h"
#include "training/cayley.h"
#include "training/spinquant_trainer.h"

using namespace stamp;

namespace {

at::Tensor matrix_of(const FeatureTransform& transform) {
  const std::vector<double> values = transform.matrix();
  at::Tensor out = at::empty({transform.size(), transform.size()}, at::TensorOptions(at::kDouble));
  std::copy(values.begin(), values.end(), out.data_ptr<double>());
  return out;
}

Json numbers(const at::Tensor& tensor) {
  const at::Tensor dense = tensor.contiguous();
  const double* values = dense.const_data_ptr<double>();
  return std::vector<double>(values, values + dense.numel());
}

Json numbers(const training::Rotations& rotations) {
  Json heads = Json::array();
  for (const at::Tensor& head : rotations.heads) heads.push_back(numbers(head));
  return {{"residual", numbers(rotations.residual)}, {"heads", heads}};
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 6) {
    std::fprintf(stderr, "usage: spinquant_dump MODEL SEQUENCES.json BITS WEIGHT_BITS STEPS\n");
    return 2;
  }
  DecoderNetwork network(std::make_shared<DecoderSource>(std::shared_ptr<const Checkpoint>(open_checkpoint(argv[1]))));
  network.fold_final_norm();
  const auto sequences = Json::parse(read_file(argv[2])).get<std::vector<std::vector<std::int64_t>>>();
  const auto count = static_cast<std::int64_t>(sequences.size()),
             length = static_cast<std::int64_t>(sequences[0].size());
  at::Tensor ids = at::empty({count, length}, at::TensorOptions(at::kLong));
  for (std::int64_t i = 0; i < count; ++i)
    std::copy_n(sequences[static_cast<std::size_t>(i)].data(), length, ids.data_ptr<std::int64_t>() + i * length);

  const DecoderConfig& config = network.config();
  training::SpinQuantOptions options;
  options.activations.bits = options.keys.bits = options.values.bits = std::atof(argv[3]);
  options.keys.group = options.values.group = config.head_dim;
  options.weights.bits = std::atof(argv[4]);
  options.weights.symmetric = true;
  options.key_rotation = hadamard(config.head_dim);
  options.down_rotation = hadamard(config.feed_forward);
  options.product = training::Product::float32;
  training::Rotations rotations{matrix_of(*random_orthogonal(config.hidden, 1, "dump", plain_gemm)), {}};
  for (std::int64_t b = 0; b < config.layers; ++b)
    rotations.heads.push_back(
        matrix_of(*random_orthogonal(config.head_dim, 2 + static_cast<std::uint64_t>(b), "dump", plain_gemm)));

  const training::SpinQuantObjective objective(frozen_decoder(network), options);
  const auto value = objective.gradient(rotations, ids);
  const double rate = 1.5;
  training::SpinQuantSchedule schedule;
  schedule.steps = std::atoll(argv[5]);
  schedule.batch = count;
  schedule.rate = rate;
  const auto state = training::train_rotations(objective, ids, schedule, {0, rotations, {}, 0, 0}, {});
  const Json out = {
      {"rotations", numbers(rotations)},
      {"key", numbers(matrix_of(*options.key_rotation))},
      {"down", numbers(matrix_of(*options.down_rotation))},
      {"loss", value.loss},
      {"gradient", numbers(value.gradient)},
      {"rate", rate},
      {"stepped", numbers(training::cayley_step(rotations.residual, value.gradient.residual, rate, false))},
      {"trained", {{"losses", state.losses}, {"rotations", numbers(state.rotations)}}},
  };
  std::printf("%s\n", out.dump().c_str());
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "spinquant_dump: %s\n", error.what());
  return 1;
}
