#include "models/text/image_reward_model.h"

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
#include "models/text/encoder_parts.h"
#include "models/text/t5_config.h"
#include "models/text/t5_encoder.h"
#include "tokenizer/wordpiece.h"

namespace stamp {
namespace {

EncoderAttention attention_of(std::int64_t width, std::int64_t heads) {
  EncoderAttention shape;
  shape.heads = heads;
  shape.head_dim = width / heads;
  shape.scale = 1 / std::sqrt(static_cast<float>(shape.head_dim));
  return shape;
}

// An odd number of pixels left over, 2 n + 1, puts the corner at n or n + 1, whichever is even: torchvision's
// int(round((from - to) / 2)) with Python's rounding.
std::int64_t corner(std::int64_t from, std::int64_t to) {
  const std::int64_t half = (from - to) / 2;
  return (from - to) % 2 == 0 ? half : half + half % 2;
}

// Before the weights are loaded, which takes longer.
std::unique_ptr<const Tokenizer> tokenizer_for(const ImageRewardFiles& files, const ImageRewardConfig::Text& c) {
  std::unique_ptr<const Tokenizer> tokenizer = open_wordpiece(files.vocabulary_path, {"[DEC]", "[ENC]"});
  if (tokenizer->vocabulary() != c.vocabulary)
    throw DataError(files.vocabulary_path + ": has " + std::to_string(tokenizer->vocabulary()) +
                    " tokens with [DEC] and [ENC], but vocab_size of the model is " + std::to_string(c.vocabulary) +
                    "; ImageReward reads the vocabulary of bert-base-uncased");
  if (c.positions < ImageRewardModel::most_tokens)
    throw DataError(files.config_path + ": max_position_embeddings: " + std::to_string(c.positions) +
                    "; prompts have up to " + std::to_string(ImageRewardModel::most_tokens) + " tokens");
  return tokenizer;
}

}  // namespace

std::vector<float> image_reward_pixels(const ByteImage& image, std::int64_t side) {
  const ByteImage covering = resize_bicubic(image, with_shortest_side({image.height, image.width}, side));
  return clip_normalized(
      cut_out(covering, {corner(covering.height, side), corner(covering.width, side)}, {side, side}));
}

// Norms stand before attention and feed forward; q, k and v come from one matrix.
struct ImageRewardModel::Vision {
  struct Block {
    NormWeights before_attention, before_feed_forward;
    AffineWeights qkv, out, up, down;
  };
  at::Tensor class_row, positions, patch_weight, patch_bias;
  std::vector<Block> blocks;
  NormWeights last;

  Vision(const Checkpoint& from, const ImageRewardConfig::Vision& c) {
    const std::string prefix = kBlipVision;
    const std::int64_t d = c.width, inputs = 3 * c.patch * c.patch;
    class_row = load_vector(tensor_of_shape(from, prefix + "cls_token", {1, 1, d}));
    positions = load_vector(tensor_of_shape(from, prefix + "pos_embed", {1, c.tokens(), d})).reshape({c.tokens(), d});
    patch_weight = load_vector(tensor_of_shape(from, prefix + "patch_embed.proj.weight", {d, 3, c.patch, c.patch}))
                       .reshape({d, inputs});
    patch_bias = load_vector(tensor_of_shape(from, prefix + "patch_embed.proj.bias", {d}));
    for (std::int64_t i = 0; i < c.layers; ++i) {
      const std::string p = prefix + "blocks." + std::to_string(i) + ".";
      Block block;
      block.before_attention = load_layer_norm(from, p + "norm1", d);
      block.qkv = load_affine(from, p + "attn.qkv", 3 * d, d);
      block.out = load_affine(from, p + "attn.proj", d, d);
      block.before_feed_forward = load_layer_norm(from, p + "norm2", d);
      block.up = load_affine(from, p + "mlp.fc1", c.feed_forward, d);
      block.down = load_affine(from, p + "mlp.fc2", d, c.feed_forward);
      blocks.push_back(std::move(block));
    }
    last = load_layer_norm(from, prefix + "norm", d);
  }

  at::Tensor run(const at::Tensor& pixels, const ImageRewardConfig::Vision& c) const {
    const std::int64_t tokens = c.tokens(), d = c.width;
    const at::Tensor embedded = linear(patch_rows(pixels, c.image_side, c.patch), patch_weight, patch_bias);
    at::Tensor x = fresh_matrix(tokens, d), n = fresh_matrix(tokens, d);
    std::copy_n(class_row.const_data_ptr<float>(), d, view(x).row(0));
    std::copy_n(embedded.const_data_ptr<float>(), (tokens - 1) * d, view(x).row(1));
    add(view(x), const_view(positions));
    const EncoderAttention shape = attention_of(d, c.heads);
    for (const Block& block : blocks) {
      block.before_attention.apply(x, n, c.eps);
      const at::Tensor qkv = block.qkv.of(n);
      const float* values = qkv.const_data_ptr<float>();
      encoder_attention({values, tokens, d, 3 * d}, {values + d, tokens, d, 3 * d}, {values + 2 * d, tokens, d, 3 * d},
                        shape, view(n));
      add(view(x), const_view(block.out.of(n)));
      block.before_feed_forward.apply(x, n, c.eps);
      at::Tensor hidden = block.up.of(n);
      exact_gelu(view(hidden));
      add(view(x), const_view(block.down.of(hidden)));
    }
    last.apply(x, x, c.eps);
    return x;
  }
};

// Norms stand behind the sums, as in BERT: x = norm(x + f(x)).
struct ImageRewardModel::Text {
  struct Attention {
    AffineWeights q, k, v, out;
    NormWeights norm;
  };
  struct Layer {
    Attention own, image;
    AffineWeights up, down;
    NormWeights norm;
  };
  const TensorInfo* words;  // stays in the file: a prompt needs few of its rows
  at::Tensor positions;
  NormWeights first;
  std::vector<Layer> layers;

  Text(const Checkpoint& from, const ImageRewardConfig::Text& c, std::int64_t image_width) {
    const std::string prefix = kBlipText;
    words = &tensor_of_shape(from, prefix + "embeddings.word_embeddings.weight", {c.vocabulary, c.width});
    positions =
        load_matrix(tensor_of_shape(from, prefix + "embeddings.position_embeddings.weight", {c.positions, c.width}));
    first = load_layer_norm(from, prefix + "embeddings.LayerNorm", c.width);
    const auto attention = [&](const std::string& name, std::int64_t key_width) {
      Attention a;
      a.q = load_affine(from, name + ".self.query", c.width, c.width);
      a.k = load_affine(from, name + ".self.key", c.width, key_width);
      a.v = load_affine(from, name + ".self.value", c.width, key_width);
      a.out = load_affine(from, name + ".output.dense", c.width, c.width);
      a.norm = load_layer_norm(from, name + ".output.LayerNorm", c.width);
      return a;
    };
    for (std::int64_t i = 0; i < c.layers; ++i) {
      const std::string p = prefix + "encoder.layer." + std::to_string(i) + ".";
      Layer layer;
      layer.own = attention(p + "attention", c.width);
      layer.image = attention(p + "crossattention", image_width);
      layer.up = load_affine(from, p + "intermediate.dense", c.feed_forward, c.width);
      layer.down = load_affine(from, p + "output.dense", c.width, c.feed_forward);
      layer.norm = load_layer_norm(from, p + "output.LayerNorm", c.width);
      layers.push_back(std::move(layer));
    }
  }

  at::Tensor run(const TokenIds& ids, const at::Tensor& image, const ImageRewardConfig::Text& c) const {
    const auto tokens = static_cast<std::int64_t>(ids.size());
    at::Tensor x = embedded_rows(*words, {ids});
    const ConstMatrixView places = const_view(positions);
    add(view(x), {places.data, tokens, places.cols, places.stride});
    first.apply(x, x, c.eps);
    const EncoderAttention shape = attention_of(c.width, c.heads);
    const auto attend = [&](const Attention& a, const at::Tensor& keys) {
      at::Tensor q = a.q.of(x);
      const at::Tensor k = a.k.of(keys), v = a.v.of(keys);
      encoder_attention(const_view(q), const_view(k), const_view(v), shape, view(q));
      add(view(x), const_view(a.out.of(q)));
      a.norm.apply(x, x, c.eps);
    };
    for (const Layer& layer : layers) {
      attend(layer.own, x);
      attend(layer.image, image);
      at::Tensor hidden = layer.up.of(x);
      exact_gelu(view(hidden));
      add(view(x), const_view(layer.down.of(hidden)));
      layer.norm.apply(x, x, c.eps);
    }
    return contiguous_copy(x.narrow(0, 0, 1));
  }
};

// AffineWeights maps without anything in between. They could be made one vector; kept apart they can be compared.
struct ImageRewardModel::Head {
  struct Map {
    at::Tensor weight, bias;
  };
  std::vector<Map> maps;

  Head(const Checkpoint& from, const std::vector<std::int64_t>& widths) {
    for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
      const std::string name = kRewardHead[i];
      maps.push_back({load_matrix(tensor_of_shape(from, name + ".weight", {widths[i + 1], widths[i]})),
                      load_vector(tensor_of_shape(from, name + ".bias", {widths[i + 1]}))});
    }
  }

  double of(const at::Tensor& state) const {
    const float* from = state.const_data_ptr<float>();
    std::vector<double> x(from, from + state.numel());
    for (const Map& map : maps) {
      const ConstMatrixView weight = const_view(map.weight);
      std::vector<double> y;
      for (std::int64_t i = 0; i < weight.rows; ++i) {
        double sum = static_cast<double>(map.bias.const_data_ptr<float>()[i]);
        for (std::int64_t j = 0; j < weight.cols; ++j)
          sum += static_cast<double>(weight.row(i)[j]) * x[static_cast<std::size_t>(j)];
        y.push_back(sum);
      }
      x = std::move(y);
    }
    return x.front();
  }
};

ImageRewardModel::ImageRewardModel(const ImageRewardFiles& files)
    : checkpoint_(files.weights),
      config_(read_image_reward_config(files)),
      tokenizer_(tokenizer_for(files, config_.text)),
      vision_(std::make_unique<const Vision>(*checkpoint_, config_.vision)),
      text_(std::make_unique<const Text>(*checkpoint_, config_.text, config_.vision.width)),
      head_(std::make_unique<const Head>(*checkpoint_, config_.head)) {}

ImageRewardModel::~ImageRewardModel() = default;

TokenIds ImageRewardModel::ids(std::string_view prompt) const {
  return prompt_ids(*tokenizer_, prompt, most_tokens);
}

at::Tensor ImageRewardModel::image_tokens(const at::Tensor& pixels) const {
  if (pixels.dim() != 2 || pixels.size(0) != 1) throw std::logic_error("ImageReward looks at one image at a time");
  return vision_->run(pixels, config_.vision);
}

at::Tensor ImageRewardModel::state(const TokenIds& ids, const at::Tensor& image_tokens) const {
  if (static_cast<std::int64_t>(ids.size()) > config_.text.positions)
    throw DataError(std::string("a text of ") + std::to_string(ids.size()) +
                    " tokens is too long for ImageReward, which has " + std::to_string(config_.text.positions) +
                    " positions");
  return text_->run(ids, image_tokens, config_.text);
}

double ImageRewardModel::reward_of(const at::Tensor& state) const {
  return (head_->of(state) - mean) / deviation;
}

double ImageRewardModel::reward(const TokenIds& ids, const ByteImage& image) const {
  const std::vector<float> values = image_reward_pixels(image, config_.vision.image_side);
  at::Tensor pixels = fresh_matrix(1, static_cast<std::int64_t>(values.size()));
  std::copy(values.begin(), values.end(), pixels.data_ptr<float>());
  return reward_of(state(ids, image_tokens(pixels)));
}

}  // namespace stamp
