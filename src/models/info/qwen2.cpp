#include "models/info/qwen2.h"

#include "models/info/layer_windows.h"

namespace stamp {
namespace {

void read_own(const ConfigReader& config, DecoderConfig& out) {
  out.qkv_bias = true;
  read_upper_windows(config, out);
}

}  // namespace

DecoderFamily qwen2_family() {
  DecoderFamily f;
  f.name = "qwen2";
  f.summary = "Qwen2 and Qwen2.5 (biases on q, k, v; optional sliding window)";
  f.read_own = read_own;
  DecoderConfig& d = f.defaults;
  d.vocabulary = 151936;
  d.hidden = 4096;
  d.feed_forward = 22016;
  d.layers = 32;
  d.heads = 32;
  d.kv_heads = 32;
  d.context = 32768;
  return f;
}

}  // namespace stamp
