#include "models/text/t5_config.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "base/text.h"
#include "models/info/config_reader.h"

namespace stamp {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::vector<std::string> parts;
  for (const std::int64_t n : shape) parts.push_back(std::to_string(n));
  return std::string("[").append(join(parts, ", ")).append("]");
}

}  // namespace

const TensorInfo& tensor_of_shape(const Checkpoint& checkpoint, const std::string& name,
                                  const std::vector<std::int64_t>& shape) {
  const TensorInfo& tensor = checkpoint.at(name);
  if (tensor.shape != shape)
    throw DataError(checkpoint.path() + ": " + name + " has shape " + shape_text(tensor.shape) + ", expected " +
                    shape_text(shape));
  return tensor;
}

T5Config read_t5_config(const Checkpoint& checkpoint) {
  const ConfigReader reader(checkpoint.config(), checkpoint.path() + ": config.json: ");
  const std::string family = reader.text("model_type", "t5");
  if (family != "t5") reader.refuse("model_type", "\"" + family + "\"", "\"t5\"");
  T5Config c;
  c.vocabulary = reader.integer("vocab_size", 32128);
  c.width = reader.integer("d_model", 512);
  c.head_dim = reader.integer("d_kv", 64);
  c.heads = reader.integer("num_heads", 8);
  c.feed_forward = reader.integer("d_ff", 2048);
  c.layers = reader.integer("num_layers", 6, 1, 1000);
  c.buckets = reader.integer("relative_attention_num_buckets", 32, 4, 4096);
  c.max_distance = reader.integer("relative_attention_max_distance", 128, 2);
  c.eps = reader.real("layer_norm_epsilon", 1e-6);
  const std::string act = reader.text("feed_forward_proj", "relu");
  if (act != "gated-gelu") reader.refuse("feed_forward_proj", "\"" + act + "\"", "\"gated-gelu\"");
  if (c.max_distance <= c.buckets / 4)
    reader.refuse("relative_attention_max_distance", std::to_string(c.max_distance),
                  "more than a quarter of relative_attention_num_buckets");
  return c;
}

std::int64_t t5_bucket(std::int64_t distance, std::int64_t buckets, std::int64_t max_distance) {
  const std::int64_t side = buckets / 2, exact = side / 2;
  const std::int64_t first = distance > 0 ? side : 0, n = std::abs(distance);
  if (n < exact) return first + n;
  const float share = std::log(static_cast<float>(n) / static_cast<float>(exact)) /
                      static_cast<float>(std::log(static_cast<double>(max_distance) / static_cast<double>(exact)));
  const auto more = static_cast<std::int64_t>(share * static_cast<float>(side - exact));
  return first + std::min(exact + more, side - 1);
}

T5Tensors find_t5_tensors(const Checkpoint& checkpoint, const T5Config& c) {
  T5Tensors out;
  const auto take = [&](const std::string& name, const std::vector<std::int64_t>& shape) {
    const TensorInfo& tensor = tensor_of_shape(checkpoint, name, shape);
    out.parameters += tensor.elements();
    return &tensor;
  };
  const bool shared = checkpoint.find("encoder.embed_tokens.weight") == nullptr;
  out.embedding = take(shared ? "shared.weight" : "encoder.embed_tokens.weight", {c.vocabulary, c.width});
  out.bias = take("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", {c.buckets, c.heads});
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const std::string block = "encoder.block." + std::to_string(i) + ".layer.";
    const std::string attention = block + "0.SelfAttention.", dense = block + "1.DenseReluDense.";
    T5BlockTensors t;
    t.attention_norm = take(block + "0.layer_norm.weight", {c.width});
    t.q = take(attention + "q.weight", {c.inner(), c.width});
    t.k = take(attention + "k.weight", {c.inner(), c.width});
    t.v = take(attention + "v.weight", {c.inner(), c.width});
    t.o = take(attention + "o.weight", {c.width, c.inner()});
    t.feed_forward_norm = take(block + "1.layer_norm.weight", {c.width});
    t.gate = take(dense + "wi_0.weight", {c.feed_forward, c.width});
    t.up = take(dense + "wi_1.weight", {c.feed_forward, c.width});
    t.down = take(dense + "wo.weight", {c.width, c.feed_forward});
    out.blocks.push_back(t);
  }
  out.final_norm = take("encoder.final_layer_norm.weight", {c.width});
  return out;
}

}  // namespace stamp
