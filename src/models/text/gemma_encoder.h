// Gemma 2 as SANA's text encoder: its decoder without the head. Specification: models 12.5.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "formats/checkpoint.h"
#include "models/text/prompts.h"

namespace stamp {

class DecoderSource;

class GemmaEncoder {
 public:
  explicit GemmaEncoder(std::shared_ptr<const Checkpoint> checkpoint);  // DataError
  // Hidden states after the final norm, tokens x width for each prompt, float32. One block's weights are in memory at a
  // time, for the rows of all prompts. No padding: attention is causal, so that what comes behind a token does not
  // reach it.
  std::vector<at::Tensor> encode(const std::vector<TokenIds>& prompts) const;
  // The rows that SANA's denoiser reads.
  std::vector<at::Tensor> encode(const std::vector<SanaPrompt>& prompts) const;
  std::int64_t width() const;

 private:
  std::shared_ptr<const DecoderSource> source_;
};

}  // namespace stamp
