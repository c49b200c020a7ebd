#include "models/info/mistral.h"

#include "models/info/layer_windows.h"

namespace stamp {
namespace {

void read_own(const ConfigReader& config, DecoderConfig& out) {
  const std::int64_t window = config.is_null("sliding_window") ? 0 : config.integer("sliding_window", 4096);
  for (std::int64_t& w : out.windows) w = window;
  apply_layer_types(config, window, out);
}

}  // namespace

DecoderFamily mistral_family() {
  DecoderFamily f;
  f.name = "mistral";
  f.summary = "Mistral 7B and its kind (sliding window, null = full attention; their GGUF files say llama)";
  f.in_gguf = false;
  f.read_own = read_own;
  DecoderConfig& d = f.defaults;
  d.vocabulary = 32000;
  d.hidden = 4096;
  d.feed_forward = 14336;
  d.layers = 32;
  d.heads = 32;
  d.kv_heads = 8;
  d.context = 131072;
  return f;
}

}  // namespace stamp
