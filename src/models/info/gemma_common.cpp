#include "models/info/gemma_common.h"

#include <cmath>

namespace stamp {

DecoderFamily gemma_family() {
  DecoderFamily f;
  f.activation_key = "hidden_activation";  // hidden_act is in old files too, and wrong there
  f.scales_embedding = true;
  DecoderConfig& d = f.defaults;
  d.hidden = 2304;
  d.feed_forward = 9216;
  d.layers = 26;
  d.heads = 8;
  d.kv_heads = 4;
  d.head_dim = 256;
  d.tied_head = true;
  d.activation = Activation::gelu_tanh;
  d.post_norms = true;
  d.norm_adds_one = true;
  return f;
}

void read_gemma_attention(const ConfigReader& config, DecoderConfig& out) {
  out.qkv_bias = out.output_bias = config.flag("attention_bias", false);
  if (config.flag("use_bidirectional_attention", false))
    config.refuse("use_bidirectional_attention", "true", "false: only causal models are supported");
  out.attention_scale = 1 / std::sqrt(config.real("query_pre_attn_scalar", 256));
}

double read_cap(const ConfigReader& config, const std::string& key, double fallback) {
  if (config.is_null(key) || (!config.has(key) && fallback == 0)) return 0;
  return config.real(key, fallback);
}

double gemma_scale_in_gguf(const DecoderConfig& config, std::int64_t layers_of_largest) {
  const auto hd = static_cast<double>(config.head_dim);
  const double width = static_cast<double>(config.hidden) / static_cast<double>(config.heads);
  return 1 / std::sqrt(config.layers == layers_of_largest ? width : hd);
}

}  // namespace stamp
