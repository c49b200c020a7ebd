#include "models/vae/autoencoder_kl.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softmax.h>

#include <algorithm>
#include <cmath>

namespace stamp {
namespace {

constexpr double norm_eps = 1e-6;

std::string numbered(const std::string& name, std::size_t i) {
  return name + std::to_string(i) + ".";
}

}  // namespace

AutoencoderKl::AutoencoderKl(std::shared_ptr<const Checkpoint> checkpoint)
    : config_(read_autoencoder_kl(checkpoint->config(), checkpoint->path())),
      weights_(checkpoint, find_autoencoder_tensors(*checkpoint, autoencoder_tensors(config_))) {
  latent_channels_ = config_.latent_channels;
  scale_ = std::int64_t{1} << (config_.channels.size() - 1);
  scaling_factor_ = config_.scaling_factor;
  shift_ = config_.shift;
  parameters_ = parameters_of(autoencoder_tensors(config_));
}

// conv(silu(norm(x))). The norm's statistics are of the whole map, the rest is local.
at::Tensor AutoencoderKl::norm_convolve(const std::string& norm, const std::string& conv, const at::Tensor& x) {
  const ChannelAffine affine =
      group_norm(x, config_.groups, weights_.get(norm + ".weight"), weights_.get(norm + ".bias"), norm_eps);
  const std::int64_t channels = weights_.get(conv + ".weight").size(0);
  const std::int64_t rows = band_rows(x, std::max(channels, x.size(1)) * x.size(3), band_floats_);
  return map_bands(x, {rows, 1, 1}, channels, [&](const at::Tensor& band) {
    at::Tensor y = band.mul(affine.factor);
    y.add_(affine.offset);
    return convolve(weights_, conv, at::silu_(y));
  });
}

at::Tensor AutoencoderKl::residual(const std::string& name, const at::Tensor& x) {
  at::Tensor h = norm_convolve(name + "norm1", name + "conv1", x);
  h = norm_convolve(name + "norm2", name + "conv2", h);
  if (!weights_.find(name + "conv_shortcut.weight").defined()) return h.add_(x);
  const std::int64_t rows = band_rows(x, std::max(h.size(1), x.size(1)) * x.size(3), band_floats_);
  in_bands(
      x, {rows, 0, 1}, [&](const at::Tensor& band) { return convolve(weights_, name + "conv_shortcut", band); },
      [&](const at::Tensor& part, std::int64_t first) { h.narrow(2, first, part.size(2)).add_(part); });
  return h;
}

// One head as wide as the map. The scores of 128 x 128 pixels would take a gigabyte, so queries come in blocks.
at::Tensor AutoencoderKl::attention(const std::string& name, const at::Tensor& x) {
  const std::int64_t width = x.size(1), pixels = x.size(2) * x.size(3);
  const ChannelAffine affine = group_norm(x, config_.groups, weights_.get(name + "group_norm.weight"),
                                          weights_.get(name + "group_norm.bias"), norm_eps);
  const at::Tensor tokens = x.mul(affine.factor).add_(affine.offset).reshape({width, pixels}).t().contiguous();
  const auto linear = [&](const char* part, const at::Tensor& in) {
    const std::string stem = name + part;
    return at::addmm(weights_.get(stem + ".bias"), in, weights_.get(stem + ".weight").t());
  };
  const at::Tensor q = linear("to_q", tokens).mul_(1 / std::sqrt(static_cast<double>(width)));
  const at::Tensor keys = linear("to_k", tokens).t(), v = linear("to_v", tokens);
  at::Tensor mixed = at::empty({pixels, width}, x.options());
  const std::int64_t block = std::clamp(band_floats_ / (2 * pixels), std::int64_t{1}, pixels);
  for (std::int64_t first = 0; first < pixels; first += block) {
    const std::int64_t count = std::min(block, pixels - first);
    const at::Tensor weights = at::softmax(at::mm(q.narrow(0, first, count), keys), 1);
    at::Tensor rows = mixed.narrow(0, first, count);
    at::mm_out(rows, weights, v);
  }
  return linear("to_out.0", mixed).t().contiguous().reshape(x.sizes()).add_(x);
}

at::Tensor AutoencoderKl::middle(const std::string& name, at::Tensor x) {
  x = residual(name + "resnets.0.", x);
  if (config_.mid_attention) x = attention(name + "attentions.0.", x);
  return residual(name + "resnets.1.", x);
}

at::Tensor AutoencoderKl::decode_one(const at::Tensor& code) {
  at::Tensor h = config_.post_quant_conv ? convolve(weights_, "post_quant_conv", code) : code;
  h = middle("decoder.mid_block.", convolve(weights_, "decoder.conv_in", h));
  const std::size_t stages = config_.channels.size();
  for (std::size_t i = 0; i < stages; ++i) {
    const std::string p = numbered("decoder.up_blocks.", i);
    for (std::int64_t j = 0; j <= config_.layers; ++j)
      h = residual(numbered(p + "resnets.", static_cast<std::size_t>(j)), h);
    if (i + 1 == stages) break;
    const std::int64_t rows = band_rows(h, 4 * h.size(1) * h.size(3), band_floats_);
    h = map_bands(h, {rows, 1, 2}, h.size(1), [&](const at::Tensor& band) {
      return convolve(weights_, p + "upsamplers.0.conv", double_pixels(band));
    });
  }
  return norm_convolve("decoder.conv_norm_out", "decoder.conv_out", h);
}

at::Tensor AutoencoderKl::moments(const at::Tensor& image) {
  at::Tensor h = convolve(weights_, "encoder.conv_in", image);
  const std::size_t stages = config_.channels.size();
  for (std::size_t i = 0; i < stages; ++i) {
    const std::string p = numbered("encoder.down_blocks.", i);
    for (std::int64_t j = 0; j < config_.layers; ++j)
      h = residual(numbered(p + "resnets.", static_cast<std::size_t>(j)), h);
    if (i + 1 == stages) break;
    // Padded at the right and the bottom only.
    const std::string conv = p + "downsamplers.0.conv";
    h = at::conv2d(at::constant_pad_nd(h, {0, 1, 0, 1}), weights_.get(conv + ".weight"), weights_.get(conv + ".bias"),
                   {2, 2});
  }
  h = middle("encoder.mid_block.", h);
  h = norm_convolve("encoder.conv_norm_out", "encoder.conv_out", h);
  return config_.quant_conv ? convolve(weights_, "quant_conv", h) : h;
}

at::Tensor AutoencoderKl::encode_one(const at::Tensor& image) {
  return moments(image).narrow(1, 0, latent_channels_).contiguous();
}

}  // namespace stamp
