#include "models/vision/sample_classifier.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "base/error.h"
#include "base/files.h"
#include "models/decoder/decoder_loader.h"
#include "models/linear.h"
#include "models/tensors.h"
#include "models/text/t5_config.h"
#include "models/vision/weights_file.h"

namespace stamp {
namespace {

constexpr const char* file_name = "classifier.safetensors";

// Outputs and inputs of a layer, from its own weight.
std::pair<std::int64_t, std::int64_t> widths_of(const Checkpoint& from, const std::string& name, std::size_t dims) {
  const TensorInfo& weight = from.at(name);
  if (weight.shape.size() != dims || weight.shape[0] < 1 || weight.shape[1] < 1)
    throw DataError(fmt::format("{}: {} has {} dimensions; a classifier of scripts/dit/classifier.py has {} there",
                                from.path(), name, weight.shape.size(), dims));
  return {weight.shape[0], weight.shape[1]};
}

}  // namespace

SampleClassifier::SampleClassifier(std::shared_ptr<const Checkpoint> checkpoint) {
  const Checkpoint& from = *checkpoint;
  std::int64_t before = 3;
  for (int i = 0; i < 5; ++i) {
    const std::string name = fmt::format("conv.{}", i);
    // What the fourth layer gives is added to what it reads.
    const std::int64_t to = i == 3 ? before : widths_of(from, name + ".weight", 4).first, kernel = i == 0 ? 4 : 3;
    const TensorInfo& weight = tensor_of_shape(from, name + ".weight", {to, before, kernel, kernel});
    conv_[i].weight = load_vector(weight).reshape({to, before, kernel, kernel});
    conv_[i].bias = load_vector(tensor_of_shape(from, name + ".bias", {to}));
    before = to;
  }
  const std::int64_t classes = widths_of(from, "linear.weight", 2).first;
  linear_.weight = load_matrix(tensor_of_shape(from, "linear.weight", {classes, before}));
  linear_.bias = load_vector(tensor_of_shape(from, "linear.bias", {classes}));
}

std::int64_t SampleClassifier::Answer::best() const {
  return std::max_element(logits.begin(), logits.end()) - logits.begin();
}

SampleClassifier::Answer SampleClassifier::ask(const ByteImage& image) const {
  if (image.height != side || image.width != side)
    throw std::logic_error("the classifier is asked about an image of another size");
  at::Tensor x = fresh_matrix(3, side * side);
  for (std::int64_t c = 0; c < 3; ++c)
    for (std::int64_t i = 0; i < side * side; ++i)
      view(x).row(c)[i] = static_cast<float>(image.bytes[static_cast<std::size_t>(3 * i + c)]) / 127.5F - 1;
  const auto layer = [&](int i, const at::Tensor& values) {
    const std::int64_t stride = i == 0 ? 2 : 1;
    return at::relu(at::conv2d(values, conv_[i].weight, conv_[i].bias, {stride, stride}, {1, 1}));
  };
  at::Tensor map = layer(1, layer(0, x.reshape({1, 3, side, side})));
  map = layer(2, at::max_pool2d(map, {2, 2}));
  map = at::max_pool2d(map, {2, 2});
  map = layer(4, map.add(layer(3, map)));
  const at::Tensor features = map.mean(at::IntArrayRef{2, 3}).contiguous();
  const at::Tensor logits = linear(features, linear_.weight, linear_.bias);
  const auto floats = [](const at::Tensor& t) {
    return std::vector<float>(t.const_data_ptr<float>(), t.const_data_ptr<float>() + t.numel());
  };
  return {floats(features), floats(logits)};
}

std::string classifier_file(const std::string& where) {
  return weights_file(where, file_name, "classifier",
                      "a .safetensors file that `scripts/train_dit.py classifier` wrote");
}

std::string classifier_beside(const std::string& model) {
  std::error_code code;
  fs::path folder = fs::weakly_canonical(model, code);
  if (!fs::is_directory(folder, code)) folder = folder.parent_path();
  // A denoiser's own folder lies in its pipeline's.
  if (!fs::exists(folder / "model_index.json", code) && fs::exists(folder.parent_path() / "model_index.json", code))
    folder = folder.parent_path();
  for (const fs::path& place : {folder, folder.parent_path()})
    for (const char* name : {file_name, "classifier/classifier.safetensors"})
      if (fs::is_regular_file(place / name, code)) return (place / name).string();
  return "";
}

}  // namespace stamp
