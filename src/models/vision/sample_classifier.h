// The small classifier that scripts/dit/classifier.py trains: which class an image is of, and features of it for a
// Frechet distance. Specification methods 13.4; the network is written out in that script.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "images/image.h"

namespace stamp {

class SampleClassifier {
 public:
  static constexpr std::int64_t side = 32;  // pixels of the images that it was trained on

  // conv.0 to conv.4 and linear, each with .weight and .bias. DataError: a tensor that is missing or of a shape that
  // does not fit the others.
  explicit SampleClassifier(std::shared_ptr<const Checkpoint> checkpoint);
  std::int64_t classes() const { return linear_.weight.size(0); }
  std::int64_t features() const { return linear_.weight.size(1); }

  struct Answer {
    std::vector<float> features;  // means over the last map
    std::vector<float> logits;    // of the classes
    std::int64_t best() const;    // the first of the largest
  };
  // Of an image of `side` x `side` pixels; std::logic_error otherwise.
  Answer ask(const ByteImage& image) const;

 private:
  struct Layer {
    at::Tensor weight, bias;
  };
  Layer conv_[5], linear_;
};

// `where`: the .safetensors file, or a folder that holds classifier.safetensors. DataError.
std::string classifier_file(const std::string& where);
// "auto" for the model at `model`, a pipeline's folder or its transformer folder: classifier.safetensors, or the folder
// `classifier`, in the pipeline's folder or in the one that holds it. "" where there is none.
std::string classifier_beside(const std::string& model);

}  // namespace stamp
