#include "models/vision/lpips_network.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "base/error.h"
#include "base/files.h"
#include "models/decoder/decoder_loader.h"
#include "models/tensors.h"
#include "models/text/t5_config.h"
#include "models/vision/weights_file.h"

namespace stamp {
namespace {

constexpr const char* file_name = "lpips.safetensors";

struct Convolution {
  int index;  // among torchvision's `features`
  std::int64_t channels, kernel, stride, padding;
  bool pooled;  // what it reads is: windows of 3 x 3, two apart
};
constexpr std::array<Convolution, LpipsNetwork::layers> alexnet = {{{0, 64, 11, 4, 2, false},
                                                                    {3, 192, 5, 1, 2, true},
                                                                    {6, 384, 3, 1, 1, true},
                                                                    {8, 256, 3, 1, 1, false},
                                                                    {10, 256, 3, 1, 1, false}}};

std::int64_t outputs_of(const Checkpoint& from, const std::string& name) {
  const TensorInfo& weight = from.at(name);
  if (weight.shape.size() != 4 || weight.shape[0] < 1)
    throw DataError(
        fmt::format("{}: {} has {} dimensions; AlexNet's convolutions have 4", from.path(), name, weight.shape.size()));
  return weight.shape[0];
}

// [0, 1] to [-1, 1], and from there to what the network was trained on: the package's scaling layer.
at::Tensor scaled(const Image& image) {
  constexpr float shift[] = {-0.030F, -0.088F, -0.188F}, scale[] = {0.458F, 0.448F, 0.450F};
  const std::int64_t plane = image.height * image.width;
  at::Tensor x = fresh_matrix(3, plane);
  float* to = x.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < 3 * plane; ++i) {
    const std::int64_t c = i / plane;
    to[i] = (2 * image.values[static_cast<std::size_t>(i)] - 1 - shift[c]) / scale[c];
  }
  return x.reshape({1, 3, image.height, image.width});
}

// Of the channels at every place. The small number keeps places where nothing answers at zero.
std::vector<double> lengths(const float* values, std::int64_t channels, std::int64_t places) {
  std::vector<double> out(static_cast<std::size_t>(places), 0);
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t p = 0; p < places; ++p) {
      const double v = values[c * places + p];
      out[static_cast<std::size_t>(p)] += v * v;
    }
  for (double& v : out) v = std::sqrt(v) + 1e-10;
  return out;
}

// Summed in double precision: features of nearly equal images differ in their last digits.
double weighed_difference(const at::Tensor& a, const at::Tensor& b, const std::vector<double>& weights) {
  const at::Tensor first = a.contiguous(), second = b.contiguous();
  const float *x = first.const_data_ptr<float>(), *y = second.const_data_ptr<float>();
  const std::int64_t channels = first.size(1), places = first.size(2) * first.size(3);
  const std::vector<double> of_x = lengths(x, channels, places), of_y = lengths(y, channels, places);
  double total = 0;
  for (std::int64_t c = 0; c < channels; ++c) {
    double sum = 0;
    for (std::int64_t p = 0; p < places; ++p) {
      const auto i = static_cast<std::size_t>(p);
      const double d = x[c * places + p] / of_x[i] - y[c * places + p] / of_y[i];
      sum += d * d;
    }
    total += weights[static_cast<std::size_t>(c)] * sum;
  }
  return total / static_cast<double>(places);
}

}  // namespace

LpipsNetwork::LpipsNetwork(const Checkpoint& from) {
  std::int64_t before = 3;
  for (std::size_t i = 0; i < layers; ++i) {
    const std::string name = fmt::format("features.{}", alexnet[i].index);
    const std::int64_t to = outputs_of(from, name + ".weight"), kernel = alexnet[i].kernel;
    const TensorInfo& weight = tensor_of_shape(from, name + ".weight", {to, before, kernel, kernel});
    layers_[i].weight = load_vector(weight).reshape({to, before, kernel, kernel});
    layers_[i].bias = load_vector(tensor_of_shape(from, name + ".bias", {to}));
    const at::Tensor judged = load_vector(tensor_of_shape(from, fmt::format("lin{}.model.1.weight", i), {1, to, 1, 1}));
    layers_[i].judged.assign(judged.const_data_ptr<float>(), judged.const_data_ptr<float>() + to);
    before = to;
  }
}

std::array<std::int64_t, LpipsNetwork::layers> LpipsNetwork::channels() const {
  std::array<std::int64_t, layers> out{};
  for (std::size_t i = 0; i < layers; ++i) out[i] = layers_[i].weight.size(0);
  return out;
}

bool LpipsNetwork::is_alexnet() const {
  const auto own = channels();
  return std::equal(own.begin(), own.end(), alexnet.begin(),
                    [](std::int64_t count, const Convolution& c) { return count == c.channels; });
}

at::Tensor LpipsNetwork::behind(std::size_t layer, const at::Tensor& map) const {
  const Convolution& c = alexnet[layer];
  const at::Tensor read = c.pooled ? at::max_pool2d(map, {3, 3}, {2, 2}) : map;
  return at::relu(
      at::conv2d(read, layers_[layer].weight, layers_[layer].bias, {c.stride, c.stride}, {c.padding, c.padding}));
}

std::array<double, LpipsNetwork::layers> LpipsNetwork::parts(const Image& a, const Image& b) const {
  if (a.height != b.height || a.width != b.width) throw std::logic_error("LPIPS compares images of one size");
  if (std::min(a.height, a.width) < smallest_side) throw std::logic_error("LPIPS is asked about too small an image");
  std::array<double, layers> out{};
  // One after the other rather than as a batch, so that equal images take the same way to the last bit; layer by
  // layer, so that two maps are held and not ten.
  at::Tensor x = scaled(a), y = scaled(b);
  for (std::size_t i = 0; i < layers; ++i) {
    x = behind(i, x);
    y = behind(i, y);
    out[i] = weighed_difference(x, y, layers_[i].judged);
  }
  return out;
}

double LpipsNetwork::distance(const Image& a, const Image& b) const {
  const auto each = parts(a, b);
  return std::accumulate(each.begin(), each.end(), 0.0);
}

std::string lpips_file(const std::string& where) {
  return weights_file(where, file_name, "network of LPIPS", "the file that scripts/lpips_weights.py wrote");
}

}  // namespace stamp
