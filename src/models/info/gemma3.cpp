#include "models/info/gemma3.h"

#include "models/info/gemma_common.h"
#include "models/info/layer_windows.h"

namespace stamp {
namespace {

constexpr std::int64_t usual_period = 6;
constexpr double usual_sliding_theta = 10000;

void refuse_attention_cap(const ConfigReader& config, const std::string& key) {
  if (config.has(key))
    config.refuse(key, "set",
                  "files without it: transformers does not apply it in this family, so what it means is open");
}

void read_own(const ConfigReader& config, DecoderConfig& out) {
  read_gemma_attention(config, out);
  refuse_attention_cap(config, "attn_logit_softcapping");
  out.final_softcap = read_cap(config, "final_logit_softcapping", 0);
  const std::int64_t window = config.integer("sliding_window", 4096);
  // transformers 4.5x wrote the period back under its private name.
  const char* key = config.has("sliding_window_pattern") ? "sliding_window_pattern" : "_sliding_window_pattern";
  slide_all_but_every(config.integer(key, usual_period), window, out);
  apply_layer_types(config, window, out);
}

void read_own_gguf(const ConfigReader& config, const std::string& prefix, DecoderConfig& out) {
  refuse_attention_cap(config, prefix + "attn_logit_softcapping");
  if (config.has(prefix + "final_logit_softcapping"))
    out.final_softcap = config.real(prefix + "final_logit_softcapping", {});
  out.sliding_rope->theta = config.real(prefix + "rope.freq_base_swa", usual_sliding_theta);
  const std::int64_t window = config.integer(prefix + "attention.sliding_window", {});
  const std::string pattern = prefix + "attention.sliding_window_pattern";
  if (config.is_list(pattern)) {  // some writers state every layer
    const std::vector<bool> slides = config.flags(pattern);
    if (slides.size() != out.windows.size())
      config.refuse(pattern, std::to_string(slides.size()) + " entries",
                    "a period, or one entry a layer (" + std::to_string(out.windows.size()) + ")");
    for (std::size_t i = 0; i < slides.size(); ++i) out.windows[i] = slides[i] ? window : 0;
  } else {
    slide_all_but_every(config.integer(pattern, usual_period), window, out);
  }
  constexpr std::int64_t layers_of_27b = 62;
  out.attention_scale = gemma_scale_in_gguf(out, layers_of_27b);
}

}  // namespace

DecoderFamily gemma3_family() {
  DecoderFamily f = gemma_family();
  f.name = "gemma3";
  f.model_types = {"gemma3_text"};
  f.summary =
      "Gemma 3, text (four norms a layer, q and k norms, five sliding layers to a full one, a RoPE for each kind)";
  f.read_own = read_own;
  f.read_own_gguf = read_own_gguf;
  DecoderConfig& d = f.defaults;
  d.vocabulary = 262208;
  d.context = 131072;
  d.qk_norm = true;
  d.rope.theta = 1e6;
  d.sliding_rope = Rope{usual_sliding_theta, {}};
  return f;
}

}  // namespace stamp
