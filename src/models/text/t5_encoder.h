// T5's encoder, streamed: every weight is read from the checkpoint when its turn comes, multiplies the rows of all
// prompts, and goes again. The 4.8 billion weights of T5 v1.1 XXL never stand in memory. Specification: models 7.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <vector>

#include "models/text/prompts.h"
#include "models/text/t5_config.h"

namespace stamp {

class T5Encoder {
 public:
  explicit T5Encoder(std::shared_ptr<const Checkpoint> checkpoint);  // DataError
  const T5Config& config() const { return config_; }
  std::int64_t parameters() const { return tensors_.parameters; }

  // Sees the rows of all prompts, one after the other, behind each block.
  using Observer = std::function<void(std::size_t block, const at::Tensor& rows)>;
  // Hidden states after the final norm, tokens x width for each prompt, float32. Prompts come without padding: padded
  // keys have no weight in attention, so rows of tokens do not depend on it, and rows of padding are read by nobody.
  // DataError: an id outside the vocabulary. std::logic_error: a prompt without tokens.
  std::vector<at::Tensor> encode(const std::vector<TokenIds>& prompts, const Observer& observer = {}) const;

 private:
  std::shared_ptr<const Checkpoint> checkpoint_;
  T5Config config_;
  T5Tensors tensors_;
};

// Rows below each other, of texts one after the other.
at::Tensor embedded_rows(const TensorInfo& table, const std::vector<TokenIds>& texts);
// `rows` (n x width) with zeros below, length x width: what denoisers take, together with a mask of n ones.
// std::logic_error: more than `length` rows.
at::Tensor padded_rows(const at::Tensor& rows, std::int64_t length);

}  // namespace stamp
