#include "models/text/clip_model.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "base/error.h"
#include "images/resize.h"
#include "models/decoder/decoder_loader.h"
#include "models/kernels/elementwise.h"
#include "models/kernels/encoder.h"
#include "models/linear.h"
#include "models/tensors.h"
#include "models/text/t5_config.h"
#include "models/text/t5_encoder.h"

namespace stamp {
namespace {

struct Layer {
  NormWeights before_attention, before_feed_forward;
  AffineWeights q, k, v, out, up, down;
};

}  // namespace

// The blocks that both towers are made of, and the norm behind them.
struct ClipModel::Tower {
  ClipTowerConfig config;
  bool causal;
  std::vector<Layer> layers;
  NormWeights last;

  Tower(const Checkpoint& checkpoint, const ClipTowerConfig& c, const std::string& prefix, const char* last_norm,
        bool is_causal)
      : config(c), causal(is_causal) {
    const auto norm = [&](const std::string& name) { return load_layer_norm(checkpoint, name, c.width); };
    const auto affine = [&](const std::string& name, std::int64_t to, std::int64_t from) {
      return load_affine(checkpoint, name, to, from);
    };
    for (std::int64_t i = 0; i < c.layers; ++i) {
      const std::string p = prefix + "encoder.layers." + std::to_string(i) + ".";
      Layer layer;
      layer.before_attention = norm(p + "layer_norm1");
      layer.q = affine(p + "self_attn.q_proj", c.width, c.width);
      layer.k = affine(p + "self_attn.k_proj", c.width, c.width);
      layer.v = affine(p + "self_attn.v_proj", c.width, c.width);
      layer.out = affine(p + "self_attn.out_proj", c.width, c.width);
      layer.before_feed_forward = norm(p + "layer_norm2");
      layer.up = affine(p + "mlp.fc1", c.feed_forward, c.width);
      layer.down = affine(p + "mlp.fc2", c.width, c.feed_forward);
      layers.push_back(std::move(layer));
    }
    last = norm(prefix + last_norm);
  }

  // x: rows of several sequences, in place.
  void run(at::Tensor& x, const std::vector<std::int64_t>& lengths) const {
    EncoderAttention shape;
    shape.heads = config.heads;
    shape.head_dim = config.width / config.heads;
    shape.scale = 1 / std::sqrt(static_cast<float>(shape.head_dim));
    shape.causal = causal;
    at::Tensor n = fresh_matrix(x.size(0), x.size(1));
    for (const Layer& layer : layers) {
      layer.before_attention.apply(x, n, config.eps);
      at::Tensor q = layer.q.of(n), k = layer.k.of(n), v = layer.v.of(n);
      std::int64_t first = 0;
      for (const std::int64_t count : lengths) {
        const MatrixView own = part_of(q, first, count);
        encoder_attention(own, part_of(k, first, count), part_of(v, first, count), shape, own);
        first += count;
      }
      add(view(x), const_view(layer.out.of(q)));
      layer.before_feed_forward.apply(x, n, config.eps);
      at::Tensor hidden = layer.up.of(n);
      config.quick_gelu ? quick_gelu(view(hidden)) : exact_gelu(view(hidden));
      add(view(x), const_view(layer.down.of(hidden)));
    }
  }
  // Some rows after the last norm, projected and of length 1.
  at::Tensor pooled(const at::Tensor& x, const std::vector<std::int64_t>& rows, const at::Tensor& projection) const {
    at::Tensor chosen = fresh_matrix(static_cast<std::int64_t>(rows.size()), x.size(1));
    for (std::size_t i = 0; i < rows.size(); ++i)
      std::copy_n(const_view(x).row(rows[i]), x.size(1), view(chosen).row(static_cast<std::int64_t>(i)));
    last.apply(chosen, chosen, config.eps);
    at::Tensor out = linear(chosen, projection, {});
    normalize_rows(view(out));
    return out;
  }
};

std::vector<float> clip_pixels(const ByteImage& image, std::int64_t side) {
  const ImageSize size = with_shortest_side({image.height, image.width}, side);
  return clip_normalized(centre_crop(resize_bicubic(image, size), {side, side}));
}

ClipModel::ClipModel(std::shared_ptr<const Checkpoint> checkpoint)
    : checkpoint_(std::move(checkpoint)), config_(read_clip_config(*checkpoint_)) {
  const Checkpoint& from = *checkpoint_;
  const ClipConfig& c = config_;
  const std::int64_t tokens = c.patches() * c.patches() + 1, d = c.vision.width;
  text_ = std::make_unique<const Tower>(from, c.text, "text_model.", "final_layer_norm", true);
  vision_ = std::make_unique<const Tower>(from, c.vision, "vision_model.", "post_layernorm", false);
  tensor_of_shape(from, "text_model.embeddings.token_embedding.weight", {c.vocabulary, c.text.width});
  const std::string text = "text_model.embeddings.", vision = "vision_model.embeddings.";
  text_positions_ = load_matrix(tensor_of_shape(from, text + "position_embedding.weight", {c.positions, c.text.width}));
  vision_positions_ = load_matrix(tensor_of_shape(from, vision + "position_embedding.weight", {tokens, d}));
  class_row_ = load_vector(tensor_of_shape(from, vision + "class_embedding", {d}));
  patch_weight_ = load_vector(tensor_of_shape(from, vision + "patch_embedding.weight", {d, 3, c.patch, c.patch}))
                      .reshape({d, 3 * c.patch * c.patch});
  before_ = load_layer_norm(from, "vision_model.pre_layrnorm", d);
  text_projection_ = load_matrix(tensor_of_shape(from, "text_projection.weight", {c.projection, c.text.width}));
  visual_projection_ = load_matrix(tensor_of_shape(from, "visual_projection.weight", {c.projection, d}));
}

ClipModel::~ClipModel() = default;

at::Tensor ClipModel::text_features(const std::vector<TokenIds>& texts) const {
  std::vector<TokenIds> read;
  std::vector<std::int64_t> lengths, ends;
  std::int64_t rows = 0;
  for (const TokenIds& ids : texts) {
    if (static_cast<std::int64_t>(ids.size()) > config_.positions)
      throw DataError("a text of " + std::to_string(ids.size()) + " tokens is too long for CLIP, which has " +
                      std::to_string(config_.positions) + " positions");
    const auto end = config_.end_token < 0 ? std::max_element(ids.begin(), ids.end())
                                           : std::find(ids.begin(), ids.end(), config_.end_token);
    if (end == ids.end())
      throw DataError("a text for CLIP has no end token (id " + std::to_string(config_.end_token) +
                      "): do the tokenizer and the model belong together?");
    read.emplace_back(ids.begin(), end + 1);
    lengths.push_back(static_cast<std::int64_t>(read.back().size()));
    rows += lengths.back();
    ends.push_back(rows - 1);
  }
  if (texts.empty()) return fresh_matrix(0, config_.projection);
  at::Tensor x = embedded_rows(checkpoint_->at("text_model.embeddings.token_embedding.weight"), read);
  std::int64_t first = 0;
  for (const std::int64_t count : lengths) {
    const ConstMatrixView positions = const_view(text_positions_);
    add(part_of(x, first, count), {positions.data, count, positions.cols, positions.stride});
    first += count;
  }
  text_->run(x, lengths);
  return text_->pooled(x, ends, text_projection_);
}

at::Tensor ClipModel::pixel_features(const at::Tensor& pixels) const {
  const std::int64_t patches = config_.patches() * config_.patches();
  const std::int64_t count = pixels.size(0), d = config_.vision.width, tokens = patches + 1;
  if (count == 0) return fresh_matrix(0, config_.projection);
  const at::Tensor embedded = linear(patch_rows(pixels, config_.image_side, config_.patch), patch_weight_, {});
  at::Tensor x = fresh_matrix(count * tokens, d);
  for (std::int64_t i = 0; i < count; ++i) {
    std::copy_n(class_row_.const_data_ptr<float>(), d, view(x).row(i * tokens));
    std::copy_n(const_view(embedded).row(i * patches), patches * d, view(x).row(i * tokens + 1));
    add(part_of(x, i * tokens, tokens), const_view(vision_positions_));
  }
  before_.apply(x, x, config_.vision.eps);
  vision_->run(x, std::vector<std::int64_t>(static_cast<std::size_t>(count), tokens));
  std::vector<std::int64_t> classes;
  for (std::int64_t i = 0; i < count; ++i) classes.push_back(i * tokens);
  return vision_->pooled(x, classes, visual_projection_);
}

at::Tensor ClipModel::image_features(const std::vector<ByteImage>& images) const {
  const std::int64_t side = config_.image_side;
  at::Tensor pixels = fresh_matrix(static_cast<std::int64_t>(images.size()), 3 * side * side);
  for (std::size_t i = 0; i < images.size(); ++i) {
    const std::vector<float> values = clip_pixels(images[i], side);
    std::copy(values.begin(), values.end(), view(pixels).row(static_cast<std::int64_t>(i)));
  }
  return pixel_features(pixels);
}

double clip_score(const at::Tensor& text_row, const at::Tensor& image_row) {
  if (text_row.numel() != image_row.numel()) throw std::logic_error("two rows of the same length make a CLIP score");
  const float *a = text_row.const_data_ptr<float>(), *b = image_row.const_data_ptr<float>();
  double sum = 0;
  for (std::int64_t i = 0; i < text_row.numel(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return 100 * std::max(sum, 0.0);
}

}  // namespace stamp
