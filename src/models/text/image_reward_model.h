// ImageReward: how much people would like an image that was made for a prompt. BLIP's vision encoder (ViT) makes tokens
// of the image, BERT reads the prompt and looks at them in every layer, and a head turns the state of its first token
// into a number. J. Xu et al. 2023, arXiv 2304.05977; J. Li et al. 2022, arXiv 2201.12086 (BLIP).
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <string_view>
#include <vector>

#include "images/image.h"
#include "models/text/image_reward_config.h"
#include "models/text/prompts.h"

namespace stamp {

// What the vision encoder sees: the shorter side resized to `side` (PIL's cubic), the middle cut out, mean and
// deviation of CLIP's training images taken off. 3 x side x side floats, planes first. Unlike clip_pixels(), where the
// middle does not come out even its corner is rounded to the even pixel, as torchvision has it.
std::vector<float> image_reward_pixels(const ByteImage& image, std::int64_t side);

class ImageRewardModel {
 public:
  static constexpr std::int64_t most_tokens = 35;  // of a prompt, [CLS] and [SEP] among them
  // Mean and deviation of rewards where the model was published; what comes out is standardised by them.
  static constexpr double mean = 0.16717362830052426, deviation = 1.0333394966054072;

  // All weights are held in float32 (the published model: 1.8 GB). DataError: a tensor is missing or of another shape;
  // vocab.txt does not fit; what read_image_reward_config() refuses.
  explicit ImageRewardModel(const ImageRewardFiles& files);
  ~ImageRewardModel();
  const ImageRewardConfig& config() const { return config_; }

  // [CLS], the prompt in WordPieces, [SEP]; the end of a longer prompt is left out. Never padded: padding has no weight
  // in attention, and only the first token's state is read.
  TokenIds ids(std::string_view prompt) const;
  // Tokens of one image behind the last norm, (1 + patches) x vision.width; `pixels`: 1 x (3 side side).
  at::Tensor image_tokens(const at::Tensor& pixels) const;
  // The first token's state behind the last layer, 1 x text.width. DataError: an id outside the vocabulary, more ids
  // than positions.
  at::Tensor state(const TokenIds& ids, const at::Tensor& image_tokens) const;
  double reward_of(const at::Tensor& state) const;  // standardised; the head is computed in double precision
  double reward(const TokenIds& ids, const ByteImage& image) const;

 private:
  struct Vision;
  struct Text;
  struct Head;
  std::shared_ptr<const Checkpoint> checkpoint_;
  ImageRewardConfig config_;
  std::unique_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<const Vision> vision_;
  std::unique_ptr<const Text> text_;
  std::unique_ptr<const Head> head_;
};

}  // namespace stamp
