#include "models/info/qwen3.h"

#include "models/info/layer_windows.h"

namespace stamp {
namespace {

void read_own(const ConfigReader& config, DecoderConfig& out) {
  out.qkv_bias = out.output_bias = config.flag("attention_bias", false);
  read_upper_windows(config, out);
}

}  // namespace

DecoderFamily qwen3_family() {
  DecoderFamily f;
  f.name = "qwen3";
  f.summary = "Qwen3, dense (q and k norms; optional sliding window)";
  f.read_own = read_own;
  DecoderConfig& d = f.defaults;
  d.vocabulary = 151936;
  d.hidden = 4096;
  d.feed_forward = 22016;
  d.layers = 32;
  d.heads = 32;
  d.kv_heads = 32;
  d.head_dim = 128;
  d.context = 32768;
  d.qk_norm = true;
  return f;
}

}  // namespace stamp
