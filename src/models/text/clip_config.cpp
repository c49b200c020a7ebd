#include "models/text/clip_config.h"

#include "base/error.h"
#include "models/info/config_reader.h"

namespace stamp {
namespace {

ClipTowerConfig read_tower(const ConfigReader& reader, std::int64_t width, std::int64_t heads,
                           std::int64_t feed_forward) {
  ClipTowerConfig c;
  c.width = reader.integer("hidden_size", width);
  c.layers = reader.integer("num_hidden_layers", 12, 1, 1000);
  c.heads = reader.integer("num_attention_heads", heads);
  c.feed_forward = reader.integer("intermediate_size", feed_forward);
  c.eps = reader.real("layer_norm_eps", 1e-5);
  const std::string act = reader.text("hidden_act", "quick_gelu");
  if (act != "quick_gelu" && act != "gelu")
    reader.refuse("hidden_act", "\"" + act + "\"", "\"quick_gelu\" or \"gelu\"");
  c.quick_gelu = act == "quick_gelu";
  if (c.width % c.heads != 0)
    reader.refuse("num_attention_heads", std::to_string(c.heads),
                  "a divisor of hidden_size (" + std::to_string(c.width) + ")");
  return c;
}

}  // namespace

ClipConfig read_clip_config(const Checkpoint& checkpoint) {
  const ConfigReader reader(checkpoint.config(), checkpoint.path() + ": config.json: ");
  for (const char* part : {"text_config", "vision_config"})
    if (!reader.has(part))
      throw DataError(checkpoint.path() + ": config.json has no " + part +
                      ": it describes no CLIP model with both towers");
  ClipConfig c;
  c.projection = reader.integer("projection_dim", 512);
  const ConfigReader text = reader.section("text_config"), vision = reader.section("vision_config");
  c.text = read_tower(text, 512, 8, 2048);
  c.vocabulary = text.integer("vocab_size", 49408);
  c.positions = text.integer("max_position_embeddings", 77, 2);
  c.end_token = text.integer("eos_token_id", 49407, 0);
  if (c.end_token == 2) c.end_token = -1;
  c.vision = read_tower(vision, 768, 12, 3072);
  c.image_side = vision.integer("image_size", 224, 1, 1 << 14);
  c.patch = vision.integer("patch_size", 32, 1, 1 << 14);
  if (c.image_side % c.patch != 0)
    vision.refuse("patch_size", std::to_string(c.patch),
                  "a divisor of image_size (" + std::to_string(c.image_side) + ")");
  return c;
}

}  // namespace stamp
