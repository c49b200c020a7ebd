#include "models/info/llama.h"

#include "models/info/layer_windows.h"

namespace stamp {
namespace {

void read_own(const ConfigReader& config, DecoderConfig& out) {
  out.qkv_bias = out.output_bias = config.flag("attention_bias", false);
  out.mlp_bias = config.flag("mlp_bias", false);
  // The family has no window; layer_types may still spell that out.
  apply_layer_types(config, 0, out);
}

}  // namespace

DecoderFamily llama_family() {
  DecoderFamily f;
  f.name = "llama";
  f.summary = "Llama 2 and 3.x (llama3 RoPE scaling), SmolLM2";
  f.paired_rows_in_gguf = true;
  f.read_own = read_own;
  DecoderConfig& d = f.defaults;
  d.vocabulary = 32000;
  d.hidden = 4096;
  d.feed_forward = 11008;
  d.layers = 32;
  d.heads = 32;
  d.context = 2048;
  return f;
}

}  // namespace stamp
