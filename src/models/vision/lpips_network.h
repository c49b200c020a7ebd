// LPIPS, how far apart two images look: differences of AlexNet's features, weighed as people judged. R. Zhang et al.
// 2018, arXiv 1801.03924, eq. 1; as the lpips package computes it (net "alex", version 0.1). Specification
// methods 13.4.
#pragma once
#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "images/image.h"

namespace stamp {

class LpipsNetwork {
 public:
  static constexpr std::size_t layers = 5;
  // Pixels. Of a shorter side the pools leave nothing for the third convolution.
  static constexpr std::int64_t smallest_side = 31;

  // features.N.weight and .bias with N = 0, 3, 6, 8, 10 as torchvision names AlexNet's convolutions, and
  // linK.model.1.weight (1 x channels x 1 x 1) with K = 0 to 4 as the lpips package names its weights. Numbers of
  // channels are the file's own. DataError: a tensor that is missing or of a shape that does not fit the others.
  explicit LpipsNetwork(const Checkpoint& from);

  std::array<std::int64_t, layers> channels() const;
  bool is_alexnet() const;  // it has AlexNet's numbers of channels

  // What every layer adds to the distance, without unit, 0 for equal images: the mean over places of
  // sum_c w_c (a_c / |a| - b_c / |b|)^2, where a and b are what the layer's ReLU gives for the two images. Images in
  // [0, 1]; std::logic_error: of two sizes, or a side below smallest_side.
  std::array<double, layers> parts(const Image& a, const Image& b) const;
  double distance(const Image& a, const Image& b) const;  // the sum of the parts

 private:
  struct Layer {
    at::Tensor weight, bias;
    std::vector<double> judged;  // w, one a channel
  };
  at::Tensor behind(std::size_t layer, const at::Tensor& map) const;
  std::array<Layer, layers> layers_;
};

// `where`: a .safetensors file, or a folder that holds lpips.safetensors. DataError.
std::string lpips_file(const std::string& where);

}  // namespace stamp
