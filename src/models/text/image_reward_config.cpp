#include "models/text/image_reward_config.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/files.h"
#include "base/sha256.h"
#include "formats/dtype.h"
#include "formats/json_text.h"
#include "models/info/config_reader.h"

namespace stamp {
namespace {

// The tensor with `dimensions` of them; `expected` is for the message.
const TensorInfo& tensor_of_rank(const Checkpoint& weights, const std::string& name, std::size_t dimensions,
                                 const std::string& expected) {
  const TensorInfo& tensor = weights.at(name);
  if (tensor.shape.size() != dimensions || tensor.elements() == 0)
    throw DataError(weights.path() + ": " + name + " has shape " + shape_text(tensor.shape) + ", expected " + expected);
  return tensor;
}

std::string quoted(const std::string& text) {
  return std::string("\"").append(text).append("\"");
}

// One more than the largest number behind `prefix`: a layer that lost a tensor is then missed by name, not left out.
std::int64_t layers_of(const Checkpoint& weights, const std::string& prefix) {
  std::int64_t layers = 0;
  for (const TensorInfo& tensor : weights.tensors()) {
    if (!tensor.name.starts_with(prefix)) continue;
    std::int64_t number = -1;
    const char* end = tensor.name.data() + tensor.name.size();
    if (std::from_chars(tensor.name.data() + prefix.size(), end, number).ec == std::errc() && number < 1000)
      layers = std::max(layers, number + 1);
  }
  return layers;
}

ImageRewardConfig::Vision read_vision(const Checkpoint& weights, const ConfigReader& reader) {
  const std::string prefix = kBlipVision;
  ImageRewardConfig::Vision v;
  const TensorInfo& cut = tensor_of_rank(weights, prefix + "patch_embed.proj.weight", 4, "[width, 3, patch, patch]");
  v.width = cut.shape[0];
  v.patch = cut.shape[2];
  const TensorInfo& places = tensor_of_rank(weights, prefix + "pos_embed", 3, "[1, tokens, width]");
  std::int64_t along = 1;
  while (along * along + 1 < places.shape[1]) ++along;
  if (along * along + 1 != places.shape[1])
    throw DataError(weights.path() + ": " + places.name + " has shape " + shape_text(places.shape) +
                    ", expected [1, tokens, width] with the tokens of a square of patches and one more");
  v.image_side = along * v.patch;
  v.layers = layers_of(weights, prefix + "blocks.");
  if (v.layers == 0) throw DataError(weights.path() + ": has no tensor of " + prefix + "blocks.0");
  v.feed_forward = tensor_of_rank(weights, prefix + "blocks.0.mlp.fc1.weight", 2, "[feed_forward, width]").shape[0];

  constexpr std::int64_t head_width = 64;
  const bool told = reader.has("vision_config");
  if (!told && v.width % head_width != 0)
    throw DataError(weights.path() + ": its vision encoder is " + std::to_string(v.width) + " wide, no multiple of " +
                    std::to_string(head_width) +
                    ": vision_config.num_attention_heads of the configuration has to say how many heads there are");
  v.heads = told ? reader.section("vision_config").integer("num_attention_heads", std::nullopt) : v.width / head_width;
  if (v.width % v.heads != 0)
    reader.refuse("vision_config.num_attention_heads", std::to_string(v.heads),
                  std::string("a divisor of the vision encoder's width (").append(std::to_string(v.width)).append(")"));
  return v;
}

ImageRewardConfig::Text read_text(const ConfigReader& reader) {
  const auto only = [&](const char* key, const std::string& allowed) {
    const std::string given = reader.text(key, allowed);
    if (given != allowed) reader.refuse(key, quoted(given), quoted(allowed));
  };
  only("hidden_act", "gelu");
  only("position_embedding_type", "absolute");
  if (!reader.flag("add_cross_attention", false))
    reader.refuse("add_cross_attention", "false or missing",
                  "true: ImageReward's text encoder looks at the image in every layer");
  ImageRewardConfig::Text t;
  t.width = reader.integer("hidden_size", 768);
  t.layers = reader.integer("num_hidden_layers", 12, 1, 1000);
  t.heads = reader.integer("num_attention_heads", 12);
  t.feed_forward = reader.integer("intermediate_size", 3072);
  t.vocabulary = reader.integer("vocab_size", std::nullopt);
  t.positions = reader.integer("max_position_embeddings", 512, 2);
  t.eps = reader.real("layer_norm_eps", 1e-12);
  if (t.width % t.heads != 0)
    reader.refuse("num_attention_heads", std::to_string(t.heads),
                  std::string("a divisor of hidden_size (").append(std::to_string(t.width)).append(")"));
  return t;
}

}  // namespace

std::string ImageRewardFiles::digest() const {
  Sha256 all;
  for (const std::string& file : {weights->files().front(), config_path, vocabulary_path})
    all.update(file_digest(file)), all.update("\n");
  return all.hex();
}

ImageRewardFiles open_image_reward(const std::string& folder) {
  constexpr const char* how =
      "; scripts/image_reward_weights.py makes such a folder of ImageReward.pt, med_config.json and vocab.txt";
  const fs::path at = folder;
  if (!fs::is_directory(at)) throw DataError(folder + ": is no folder" + how);
  const auto named = [&](const char* name) { return (at / name).string(); };
  const auto has = [&](const char* name) { return fs::is_regular_file(at / name); };
  for (const char* name : {"model.safetensors", "vocab.txt"})
    if (!has(name)) throw DataError(folder + ": has no " + name + how);
  if (!has("med_config.json") && !has("config.json"))
    throw DataError(folder + ": has neither med_config.json nor config.json" + how);
  ImageRewardFiles files;
  files.config_path = named(has("med_config.json") ? "med_config.json" : "config.json");
  files.vocabulary_path = named("vocab.txt");
  files.config = parse_json(read_file(files.config_path, 1 << 24), files.config_path);
  files.weights = open_checkpoint(named("model.safetensors"));
  return files;
}

ImageRewardConfig read_image_reward_config(const ImageRewardFiles& files) {
  const ConfigReader reader(files.config, files.config_path + ": ");
  ImageRewardConfig c;
  c.text = read_text(reader);
  c.vision = read_vision(*files.weights, reader);
  c.head.push_back(c.text.width);
  for (const char* layer : kRewardHead)
    c.head.push_back(tensor_of_rank(*files.weights, std::string(layer) + ".weight", 2, "[to, from]").shape[0]);
  if (c.head.back() != 1)
    throw DataError(files.weights->path() + ": " + kRewardHead[4] + ".weight has " + std::to_string(c.head.back()) +
                    " rows, expected one: a reward is a single number");
  return c;
}

}  // namespace stamp
