#include "models/info/gemma2.h"

#include <cmath>

#include "models/info/gemma_common.h"
#include "models/info/layer_windows.h"

namespace stamp {
namespace {

// Even layers slide.
constexpr std::int64_t period = 2;

void read_own(const ConfigReader& config, DecoderConfig& out) {
  read_gemma_attention(config, out);
  out.attention_softcap = read_cap(config, "attn_logit_softcapping", 50);
  out.final_softcap = read_cap(config, "final_logit_softcapping", 30);
  const std::int64_t window = config.integer("sliding_window", 4096);
  slide_all_but_every(period, window, out);
  apply_layer_types(config, window, out);
}

void read_own_gguf(const ConfigReader& config, const std::string& prefix, DecoderConfig& out) {
  out.attention_softcap = config.real(prefix + "attn_logit_softcapping", 50);
  out.final_softcap = config.real(prefix + "final_logit_softcapping", 30);
  slide_all_but_every(period, config.integer(prefix + "attention.sliding_window", 4096), out);
  constexpr std::int64_t layers_of_27b = 46;
  out.attention_scale = gemma_scale_in_gguf(out, layers_of_27b);
}

}  // namespace

DecoderFamily gemma2_family() {
  DecoderFamily f = gemma_family();
  f.name = "gemma2";
  f.summary = "Gemma 2 (four norms a layer, soft caps, every other layer slides)";
  f.read_own = read_own;
  f.read_own_gguf = read_own_gguf;
  f.defaults.vocabulary = 256000;
  f.defaults.context = 8192;
  return f;
}

}  // namespace stamp
