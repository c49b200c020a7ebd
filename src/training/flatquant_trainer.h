// FlatQuant's training of one block against the full-precision block. Specification methods 8.3.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "config/spec.h"
#include "training/block.h"
#include "training/decoder_block.h"
#include "training/flatquant_block.h"
#include "training/learned_matrix.h"

namespace stamp::training {

struct FlatQuantOptions {
  Parametrization parametrization = Parametrization::svd;
  bool transforms = true;  // the matrices
  bool diagonals = true;
  bool weight_clips = true;      // LWC
  bool activation_clips = true;  // LAC
  double diagonal_alpha = 0.3;   // of the start, c = w^(1-a) / x^a
  std::int64_t epochs = 1;
  std::int64_t batch = 4;       // sequences a step
  std::int64_t tokens = 512;    // of a training sequence; 0 = whole calibration items
  double learning_rate = 5e-3;  // of matrices and diagonals
  double clip_learning_rate = 5e-2;
  double last_learning_rate = 5e-6;  // at the end of the cosine, of both
  Product product = Product::bfloat16;
  std::uint64_t seed = 0;
};

// Items cut into training sequences. A sequence is the first token of its item, where attention rests, and then
// neighbouring tokens of it (specification 2.7); the first token counts in the loss of the first sequence only.
struct TrainingRows {
  std::vector<at::Tensor> inputs;  // tokens x h each
  std::vector<bool> starts;        // does the first row count
};
// item(i): s x h, what enters the block.
TrainingRows cut_rows(std::int64_t items, const std::function<at::Tensor(std::int64_t)>& item, std::int64_t tokens);

struct TrainingHooks {
  std::function<void()> step;  // after every step
};

std::int64_t training_steps(const FlatQuantOptions& options, std::size_t sequences);

// TrialError when the loss stops being a number. `name` of the block, for messages and seeds: "block 3".
FlatQuantBlock train_block(const DecoderBlock& block, const TrainingRows& rows, const QuantizationSpec& quantization,
                           const FlatQuantOptions& options, const std::string& name, const TrainingHooks& hooks);

// The block's output on x (b x s x h) with everything quantized that `quantization` quantizes, and what was learned.
// Differentiable in the tensors of `learned`, a matrix and its inverse each for itself.
at::Tensor quantized_output(const DecoderBlock& block, const FlatQuantBlock& learned, const at::Tensor& x,
                            const QuantizationSpec& quantization, Product product);

}  // namespace stamp::training
