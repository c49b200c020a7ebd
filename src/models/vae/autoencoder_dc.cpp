#include "models/vae/autoencoder_dc.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/pixel_shuffle.h>
#include <ATen/ops/pixel_unshuffle.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/silu.h>

#include <algorithm>

namespace stamp {
namespace {

constexpr float norm_eps = 1e-5F;
constexpr double attention_eps = 1e-15;

std::string numbered(const std::string& name, std::size_t i) {
  return name + std::to_string(i) + ".";
}

// Every channel `times` times in a row.
at::Tensor repeat_channels(const at::Tensor& x, std::int64_t times) {
  return x.repeat_interleave(times, 1);
}
// Means of runs of channels.
at::Tensor average_channels(const at::Tensor& x, std::int64_t channels) {
  return x.reshape({1, channels, x.size(1) / channels, x.size(2), x.size(3)}).mean({2});
}

// values * weights of the keys by each query, queries and keys not negative. q, k, v: heads x head_dim x pixels.
at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, bool linear) {
  if (linear) {
    const at::Tensor sums = k.sum({2}, true).transpose(1, 2);  // heads x 1 x head_dim
    at::Tensor mixed = at::matmul(at::matmul(v, k.transpose(1, 2)), q);
    return mixed.div_(at::matmul(sums, q).add_(attention_eps));
  }
  at::Tensor scores = at::matmul(k.transpose(1, 2), q);  // keys x queries
  scores.div_(scores.sum({1}, true).add_(attention_eps));
  return at::matmul(v, scores);
}

}  // namespace

AutoencoderDc::AutoencoderDc(std::shared_ptr<const Checkpoint> checkpoint)
    : config_(read_autoencoder_dc(checkpoint->config(), checkpoint->path())),
      weights_(checkpoint, find_autoencoder_tensors(*checkpoint, autoencoder_tensors(config_))) {
  latent_channels_ = config_.latent_channels;
  scale_ = std::int64_t{1} << (config_.encoder.size() - 1);
  scaling_factor_ = config_.scaling_factor;
  parameters_ = parameters_of(autoencoder_tensors(config_));
}

void AutoencoderDc::residual_block(const std::string& name, at::Tensor& x) {
  at::Tensor h = convolve(weights_, name + "conv1", x);
  h = convolve(weights_, name + "conv2", at::silu_(h));
  channel_rms_norm(h, weights_.get(name + "norm.weight"), weights_.get(name + "norm.bias"), norm_eps);
  x = h.add_(x);
}

void AutoencoderDc::attention(const std::string& name, const DcStage& stage, at::Tensor& x) {
  const std::int64_t pixels = x.size(2) * x.size(3), head_dim = config_.head_dim;
  std::vector<at::Tensor> scales;
  {
    std::vector<at::Tensor> parts;
    for (const char* part : {"to_q", "to_k", "to_v"}) parts.push_back(weights_.get(name + part + ".weight"));
    scales.push_back(multiply_pixels(at::cat(parts, 0), x));
  }
  for (std::size_t s = 0; s < stage.kernels.size(); ++s) {
    const std::string p = numbered(name + "to_qkv_multiscale.", s);
    const at::Tensor near = convolve(weights_, p + "proj_in", scales[0], 1, 3 * stage.channels);
    scales.push_back(convolve(weights_, p + "proj_out", near, 1, 3 * stage.channels / head_dim));
  }
  // The channels q | k | v of all scales are cut anew into runs of query, key and value of one head: what to_q makes
  // does not all become queries (models 13.2).
  const at::Tensor heads = at::cat(scales, 1).reshape({-1, 3 * head_dim, pixels});
  scales.clear();
  const at::Tensor q = at::relu(heads.narrow(1, 0, head_dim)), k = at::relu(heads.narrow(1, head_dim, head_dim));
  const at::Tensor v = heads.narrow(1, 2 * head_dim, head_dim);
  const at::Tensor mixed = attend(q, k, v, pixels > head_dim).reshape({1, -1, x.size(2), x.size(3)});
  at::Tensor h = multiply_pixels(weights_.get(name + "to_out.weight"), mixed);
  channel_rms_norm(h, weights_.get(name + "norm_out.weight"), weights_.get(name + "norm_out.bias"), norm_eps);
  x = h.add_(x);
}

void AutoencoderDc::gated_convolution(const std::string& name, at::Tensor& x) {
  at::Tensor h = convolve(weights_, name + "conv_inverted", x);
  const std::int64_t wide = h.size(1);
  h = convolve(weights_, name + "conv_depth", at::silu_(h), 1, wide);
  at::Tensor value = h.narrow(1, 0, wide / 2), gate = h.narrow(1, wide / 2, wide / 2);
  value.mul_(at::silu_(gate));
  at::Tensor out = convolve(weights_, name + "conv_point", value);
  channel_rms_norm(out, weights_.get(name + "norm.weight"), weights_.get(name + "norm.bias"), norm_eps);
  x = out.add_(x);
}

void AutoencoderDc::blocks(const std::string& name, std::int64_t first, const DcStage& stage, at::Tensor& x) {
  for (std::int64_t j = first; j < first + stage.layers; ++j) {
    const std::string p = numbered(name, static_cast<std::size_t>(j));
    if (stage.attention) {
      attention(p + "attn.", stage, x);
      gated_convolution(p + "conv_out.", x);
    } else {
      residual_block(p, x);
    }
  }
}

at::Tensor AutoencoderDc::doubled(const std::string& name, const at::Tensor& x, std::int64_t channels) {
  at::Tensor y = config_.interpolate ? convolve(weights_, name + "conv", double_pixels(x))
                                     : at::pixel_shuffle(convolve(weights_, name + "conv", x), 2);
  return y.add_(at::pixel_shuffle(repeat_channels(x, 4 * channels / x.size(1)), 2));
}

at::Tensor AutoencoderDc::halved(const std::string& name, const at::Tensor& x, std::int64_t channels) {
  at::Tensor y = config_.unshuffle ? at::pixel_unshuffle(convolve(weights_, name + "conv", x), 2)
                                   : convolve(weights_, name + "conv", x, 2);
  return y.add_(average_channels(at::pixel_unshuffle(x, 2), channels));
}

at::Tensor AutoencoderDc::decode_one(const at::Tensor& code) {
  at::Tensor h = convolve(weights_, "decoder.conv_in", code);
  if (config_.decoder_in_shortcut) h.add_(repeat_channels(code, h.size(1) / latent_channels_));
  const std::size_t stages = config_.decoder.size();
  for (std::size_t i = stages; i-- > 0;) {
    const DcStage& stage = config_.decoder[i];
    const std::string p = numbered("decoder.up_blocks.", i);
    const bool doubles = i + 1 < stages, ends = i == 0;
    const auto work = [&](const at::Tensor& band) {
      at::Tensor y = doubles ? doubled(p + "0.", band, stage.channels) : band;
      blocks(p, doubles ? 1 : 0, stage, y);
      if (!ends) return y;
      channel_rms_norm(y, weights_.get("decoder.norm_out.weight"), weights_.get("decoder.norm_out.bias"), norm_eps);
      return convolve(weights_, "decoder.conv_out", at::relu_(y));
    };
    if (stage.attention) {  // sees the whole map
      h = work(h);
      continue;
    }
    // A convolution reaches one row further. Of the stage's own rows: two a block, one at the end; the convolution that
    // doubles reaches over one of the rows it reads.
    const std::int64_t ratio = doubles ? 2 : 1, reach = 2 * stage.layers + (ends ? 1 : 0);
    const std::int64_t halo = (reach + ratio - 1) / ratio + (doubles ? 1 : 0);
    const std::int64_t row_floats = std::max(h.size(1), stage.channels) * ratio * ratio * h.size(3);
    const std::int64_t rows = band_rows(h, row_floats, band_floats_);
    h = map_bands(h, {rows, halo, ratio}, ends ? 3 : stage.channels, work);
  }
  return h;
}

at::Tensor AutoencoderDc::encode_one(const at::Tensor& image) {
  at::Tensor h = convolve(weights_, "encoder.conv_in", image);
  const std::size_t stages = config_.encoder.size();
  for (std::size_t i = 0; i < stages; ++i) {
    const DcStage& stage = config_.encoder[i];
    const std::string p = numbered("encoder.down_blocks.", i);
    if (stage.attention) {
      blocks(p, 0, stage, h);
    } else {
      const std::int64_t rows = band_rows(h, stage.channels * h.size(3), band_floats_);
      h = map_bands(h, {rows, 2 * stage.layers, 1}, stage.channels, [&](const at::Tensor& band) {
        at::Tensor y = band;
        blocks(p, 0, stage, y);
        return y;
      });
    }
    if (i + 1 < stages)
      h = halved(numbered(p, static_cast<std::size_t>(stage.layers)), h, config_.encoder[i + 1].channels);
  }
  at::Tensor code = convolve(weights_, "encoder.conv_out", h);
  return config_.encoder_out_shortcut ? code.add_(average_channels(h, latent_channels_)) : code;
}

}  // namespace stamp
