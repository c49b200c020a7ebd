#include "models/vae/feature_maps.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/upsample_nearest2d.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "models/decoder/decoder_loader.h"

namespace stamp {

const at::Tensor& WeightStore::get(const std::string& name) {
  const auto there = loaded_.find(name);
  if (there != loaded_.end()) return there->second;
  const auto stored = tensors_.find(name);
  if (stored == tensors_.end()) throw std::logic_error("the network asks for a tensor it did not expect: " + name);
  // Kernels have very short last dimensions; rows as long as can be are read faster.
  TensorInfo flat = stored->second;
  const std::vector<std::int64_t> shape = flat.shape;
  flat.shape = {shape.front(), flat.elements() / shape.front()};
  return loaded_.emplace(name, load_matrix(flat).reshape(shape)).first->second;
}

at::Tensor WeightStore::find(const std::string& name) {
  return tensors_.count(name) ? get(name) : at::Tensor();
}

at::Tensor convolve(WeightStore& weights, const std::string& name, const at::Tensor& x, std::int64_t stride,
                    std::int64_t groups) {
  const at::Tensor& weight = weights.get(name + ".weight");
  const std::int64_t padding = weight.size(2) / 2;
  return at::conv2d(x, weight, weights.find(name + ".bias"), {stride, stride}, {padding, padding}, {1, 1}, groups)
      .contiguous();
}

at::Tensor multiply_pixels(const at::Tensor& matrix, const at::Tensor& x) {
  return at::conv2d(x, matrix.reshape({matrix.size(0), matrix.size(1), 1, 1})).contiguous();
}

void channel_rms_norm(at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, float eps) {
  if (!x.is_contiguous()) x = x.contiguous();
  const std::int64_t channels = x.size(1), pixels = x.size(2) * x.size(3);
  float* values = x.data_ptr<float>();
  const float *w = weight.const_data_ptr<float>(), *b = bias.const_data_ptr<float>();
  constexpr std::int64_t width = 256;  // pixels whose sums stay in the first-level cache
#pragma omp parallel for schedule(static)
  for (std::int64_t first = 0; first < pixels; first += width) {
    const std::int64_t count = std::min(width, pixels - first);
    float sum[width] = {};
    for (std::int64_t c = 0; c < channels; ++c) {
      const float* from = values + c * pixels + first;
      for (std::int64_t i = 0; i < count; ++i) sum[i] += from[i] * from[i];
    }
    for (std::int64_t i = 0; i < count; ++i) sum[i] = 1 / std::sqrt(sum[i] / static_cast<float>(channels) + eps);
    for (std::int64_t c = 0; c < channels; ++c) {
      float* to = values + c * pixels + first;
      for (std::int64_t i = 0; i < count; ++i) to[i] = to[i] * sum[i] * w[c] + b[c];
    }
  }
}

ChannelAffine group_norm(const at::Tensor& x, std::int64_t groups, const at::Tensor& weight, const at::Tensor& bias,
                         double eps) {
  if (!x.is_contiguous()) throw std::logic_error("a group norm needs a contiguous feature map");
  const std::int64_t channels = x.size(1), pixels = x.size(2) * x.size(3), in_group = channels / groups;
  const float* values = x.const_data_ptr<float>();
  const float *w = weight.const_data_ptr<float>(), *b = bias.const_data_ptr<float>();
  ChannelAffine out{at::empty({1, channels, 1, 1}, at::TensorOptions(at::kFloat)),
                    at::empty({1, channels, 1, 1}, at::TensorOptions(at::kFloat))};
  float *factor = out.factor.data_ptr<float>(), *offset = out.offset.data_ptr<float>();
#pragma omp parallel for schedule(static)
  for (std::int64_t g = 0; g < groups; ++g) {
    const float* from = values + g * in_group * pixels;
    const std::int64_t count = in_group * pixels;
    double sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = 0; i < count; ++i) sum += from[i];
    const double mean = sum / static_cast<double>(count);
#pragma omp simd reduction(+ : squares)
    for (std::int64_t i = 0; i < count; ++i) squares += (from[i] - mean) * (from[i] - mean);
    const double inverse = 1 / std::sqrt(squares / static_cast<double>(count) + eps);
    for (std::int64_t c = g * in_group; c < (g + 1) * in_group; ++c) {
      factor[c] = static_cast<float>(w[c] * inverse);
      offset[c] = static_cast<float>(b[c] - mean * w[c] * inverse);
    }
  }
  return out;
}

void in_bands(const at::Tensor& x, const Bands& bands, const std::function<at::Tensor(const at::Tensor&)>& work,
              const std::function<void(const at::Tensor&, std::int64_t)>& take) {
  const std::int64_t height = x.size(2);
  for (std::int64_t first = 0; first < height; first += bands.rows) {
    const std::int64_t last = std::min(height, first + bands.rows);
    const std::int64_t from = std::max(std::int64_t{0}, first - bands.halo), to = std::min(height, last + bands.halo);
    const bool all = from == 0 && to == height;
    const at::Tensor result = work(all ? x : x.narrow(2, from, to - from).contiguous());
    take(result.narrow(2, (first - from) * bands.ratio, (last - first) * bands.ratio), first * bands.ratio);
  }
}

at::Tensor map_bands(const at::Tensor& x, const Bands& bands, std::int64_t channels,
                     const std::function<at::Tensor(const at::Tensor&)>& work) {
  if (bands.rows >= x.size(2)) return work(x);
  at::Tensor out = at::empty({1, channels, x.size(2) * bands.ratio, x.size(3) * bands.ratio}, x.options());
  in_bands(x, bands, work,
           [&](const at::Tensor& rows, std::int64_t first) { out.narrow(2, first, rows.size(2)).copy_(rows); });
  return out;
}

std::int64_t band_rows(const at::Tensor& x, std::int64_t floats_per_row, std::int64_t floats) {
  return std::clamp(floats / std::max(std::int64_t{1}, floats_per_row), std::int64_t{1}, x.size(2));
}

at::Tensor double_pixels(const at::Tensor& x) {
  return at::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)});
}

}  // namespace stamp
