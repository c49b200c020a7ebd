// CLIP: texts and images as vectors whose angle says how well they go together. Specification: models 8; methods 13.4.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "images/image.h"
#include "models/text/clip_config.h"
#include "models/text/encoder_parts.h"
#include "models/text/prompts.h"

namespace stamp {

// What the vision tower sees: the shorter side resized to `side` (PIL's cubic), the middle cut out, mean and deviation
// of CLIP's training images taken off. 3 x side x side floats, planes first.
std::vector<float> clip_pixels(const ByteImage& image, std::int64_t side);

class ClipModel {
 public:
  explicit ClipModel(std::shared_ptr<const Checkpoint> checkpoint);  // DataError
  ~ClipModel();
  const ClipConfig& config() const { return config_; }

  // One row of length 1 for each text, n x projection. Ids as prompt_ids(tokenizer, text, config().positions) gives
  // them; what follows the end token is not read. DataError: more ids than positions, an id outside the vocabulary, no
  // end token.
  at::Tensor text_features(const std::vector<TokenIds>& texts) const;
  // One row of length 1 for each image.
  at::Tensor image_features(const std::vector<ByteImage>& images) const;
  // The same of pixels as clip_pixels() makes them: n x (3 side side).
  at::Tensor pixel_features(const at::Tensor& pixels) const;

 private:
  struct Tower;
  std::shared_ptr<const Checkpoint> checkpoint_;
  ClipConfig config_;
  std::unique_ptr<const Tower> text_, vision_;
  at::Tensor class_row_, text_positions_, vision_positions_, patch_weight_, text_projection_, visual_projection_;
  NormWeights before_;  // pre_layrnorm
};

// 100 max(0, cosine) of two rows of length 1: the CLIP score.
double clip_score(const at::Tensor& text_row, const at::Tensor& image_row);

}  // namespace stamp
