#include "models/info/decoder_config.h"

#include <cmath>
#include <numbers>

#include "base/error.h"
#include "base/text.h"

namespace stamp {

const char* name_of(RopeScaling::Kind kind) {
  switch (kind) {
    case RopeScaling::Kind::none: return "none";
    case RopeScaling::Kind::linear: return "linear";
    case RopeScaling::Kind::llama3: return "llama3";
  }
  return "";
}

const char* name_of(Activation activation) {
  return activation == Activation::silu ? "silu" : "gelu_tanh";
}

namespace {

const char* const known_scalings = "default, linear, llama3";

bool speaks_of_rope(const std::string& key) {
  return key.find("rope") != std::string::npos || key.find("rotary") != std::string::npos;
}

// The body of rope_scaling (transformers 4) or rope_parameters (transformers 5).
RopeScaling read_scaling(const ConfigReader& rope, std::int64_t context) {
  RopeScaling out;
  const bool old_key = rope.has("type");
  const bool new_key = rope.has("rope_type");
  const std::string type = new_key ? rope.text("rope_type", {}) : old_key ? rope.text("type", {}) : "default";
  if (old_key && new_key && rope.text("type", {}) != type)
    rope.refuse("type", rope.text("type", {}), "the same as rope_type (" + type + ")");
  if (type == "linear") {
    out.kind = RopeScaling::Kind::linear;
    out.factor = rope.real("factor", {});
  } else if (type == "llama3") {
    out.kind = RopeScaling::Kind::llama3;
    out.factor = rope.real("factor", {});
    out.low_freq_factor = rope.real("low_freq_factor", {});
    out.high_freq_factor = rope.real("high_freq_factor", {});
    out.original_context = rope.real("original_max_position_embeddings", static_cast<double>(context));
    if (out.high_freq_factor <= out.low_freq_factor)
      rope.refuse("high_freq_factor", number_text(out.high_freq_factor), "a number above low_freq_factor");
  } else if (type != "default") {
    rope.refuse(new_key ? "rope_type" : "type", "\"" + type + "\" is not supported", known_scalings);
  }
  return out;
}

void refuse_unread(const ConfigReader& config, const std::vector<std::string>& keys) {
  if (!keys.empty())
    config.refuse(keys.front(), "a RoPE setting that is not supported here and would change every logit",
                  "a checkpoint without it");
}

// One object of rope_parameters. `given`: what the older spelling in the same file says, where it says something.
void read_parameters(const ConfigReader& parameters, std::int64_t context, std::optional<double> given_theta,
                     bool given_scaling, Rope& rope) {
  if (parameters.has("rope_theta")) {
    const double theta = parameters.real("rope_theta", {});
    if (given_theta && theta != *given_theta)
      parameters.refuse("rope_theta", number_text(theta),
                        "the value of the older key (" + number_text(*given_theta) + ")");
    rope.theta = theta;
  }
  const RopeScaling scaling = read_scaling(parameters, context);
  if (given_scaling && scaling.kind != rope.scaling.kind)
    parameters.refuse("rope_type", name_of(scaling.kind),
                      std::string("what rope_scaling says (") + name_of(rope.scaling.kind) + ")");
  rope.scaling = scaling;
  refuse_unread(parameters, parameters.unread());
}

// Both spellings of models 3.1. Files may hold both; they must then agree. Families whose sliding layers have a RoPE of
// their own nest rope_parameters by layer type; their rope_scaling is the full layers' alone.
void read_hf_rope(const ConfigReader& config, DecoderConfig& out) {
  std::optional<double> theta, sliding_theta;
  if (config.has("rope_theta")) out.rope.theta = *(theta = config.real("rope_theta", {}));
  if (out.sliding_rope && config.has("rope_local_base_freq"))
    out.sliding_rope->theta = *(sliding_theta = config.real("rope_local_base_freq", {}));
  const bool scaled = config.has("rope_scaling");
  if (scaled) {
    const ConfigReader scaling = config.section("rope_scaling");
    out.rope.scaling = read_scaling(scaling, out.context);
    if (scaling.has("rope_theta")) out.rope.theta = scaling.real("rope_theta", {});
    refuse_unread(scaling, scaling.unread());
  }
  if (config.has("rope_parameters")) {
    const ConfigReader parameters = config.section("rope_parameters");
    if (!out.sliding_rope) {
      read_parameters(parameters, out.context, theta, scaled, out.rope);
    } else {
      if (parameters.has("full_attention"))
        read_parameters(parameters.section("full_attention"), out.context, theta, scaled, out.rope);
      if (parameters.has("sliding_attention"))
        read_parameters(parameters.section("sliding_attention"), out.context, sliding_theta, false, *out.sliding_rope);
      refuse_unread(parameters, parameters.unread());
    }
  }
  // Present in files of the hub with their neutral values.
  if (config.has("rope_interleaved") && config.flag("rope_interleaved", {}))
    config.refuse("rope_interleaved", "true", "false");
  if (config.has("partial_rotary_factor") && config.real("partial_rotary_factor", {}) != 1.0)
    config.refuse("partial_rotary_factor", "not 1", "1");
  std::vector<std::string> left;
  for (const std::string& key : config.unread())
    if (speaks_of_rope(key)) left.push_back(key);
  refuse_unread(config, left);
}

Activation read_activation(const ConfigReader& config, const DecoderFamily& family) {
  if (!config.has(family.activation_key)) return family.defaults.activation;
  const std::string name = config.text(family.activation_key, {});
  if (name == "silu") return Activation::silu;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new") return Activation::gelu_tanh;
  config.refuse(family.activation_key, "\"" + name + "\" is not supported", "silu, gelu_pytorch_tanh, gelu_new");
}

DecoderConfig read_hf(const Checkpoint& checkpoint, const DecoderFamily& family) {
  const ConfigReader file(checkpoint.config(), checkpoint.path() + ": config: ");
  // Models that also see images keep the language model's settings in an object of their own.
  const bool nested = file.has("text_config");
  const ConfigReader config = nested ? file.section("text_config") : file;
  const DecoderConfig& d = family.defaults;
  DecoderConfig out = d;
  out.architecture = family.name;
  out.vocabulary = config.integer("vocab_size", d.vocabulary);
  out.hidden = config.integer("hidden_size", d.hidden);
  out.feed_forward = config.integer("intermediate_size", d.feed_forward);
  out.layers = config.integer("num_hidden_layers", d.layers, 1, 100000);
  out.heads = config.integer("num_attention_heads", d.heads);
  out.kv_heads = config.integer("num_key_value_heads", d.kv_heads ? d.kv_heads : out.heads);
  out.head_dim = config.integer("head_dim", d.head_dim ? d.head_dim : out.hidden / out.heads);
  out.context = config.integer("max_position_embeddings", d.context);
  out.norm_eps = config.real("rms_norm_eps", d.norm_eps, 0, 1);
  out.tied_head = config.flag("tie_word_embeddings", file.flag("tie_word_embeddings", d.tied_head));
  out.activation = read_activation(config, family);
  out.windows.assign(static_cast<std::size_t>(out.layers), 0);
  family.read_own(config, out);
  read_hf_rope(config, out);
  return out;
}

void read_gguf_rope(const ConfigReader& config, const std::string& prefix, DecoderConfig& out) {
  out.rope.theta = config.real(prefix + "rope.freq_base", 10000.0);
  const std::int64_t rotated = config.integer(prefix + "rope.dimension_count", out.head_dim);
  if (rotated != out.head_dim)
    config.refuse(prefix + "rope.dimension_count", std::to_string(rotated),
                  "the head dimension (" + std::to_string(out.head_dim) + "); partial rotation is not supported");
  const std::string type = config.text(prefix + "rope.scaling.type", "none");
  if (type == "linear") {
    out.rope.scaling.kind = RopeScaling::Kind::linear;
    out.rope.scaling.factor = config.real(prefix + "rope.scaling.factor", {});
  } else if (type != "none") {
    config.refuse(prefix + "rope.scaling.type", "\"" + type + "\" is not supported",
                  "none, linear (llama3 scaling comes as the tensor rope_freqs.weight)");
  } else if (config.has(prefix + "rope.scaling.factor") && config.real(prefix + "rope.scaling.factor", {}) != 1.0) {
    config.refuse(prefix + "rope.scaling.factor", "not 1 although no scaling type is given", "1");
  }
  // Old writers; the factor multiplies positions' period as `linear` does.
  if (config.has(prefix + "rope.scale_linear")) {
    out.rope.scaling.kind = RopeScaling::Kind::linear;
    out.rope.scaling.factor = config.real(prefix + "rope.scale_linear", {});
  }
  // States the trained length only; llama.cpp uses it for yarn alone.
  config.has(prefix + "rope.scaling.original_context_length");
  config.has(prefix + "rope.scaling.finetuned");
  std::vector<std::string> left;
  for (const std::string& key : config.unread())
    if (key.rfind(prefix, 0) == 0 && speaks_of_rope(key)) left.push_back(key);
  refuse_unread(config, left);
}

DecoderConfig read_gguf(const Checkpoint& checkpoint, const DecoderFamily& family) {
  const ConfigReader config(checkpoint.config(), checkpoint.path() + ": ");
  const std::string prefix = family.name + ".";
  const DecoderConfig& d = family.defaults;
  DecoderConfig out;
  out.architecture = family.name;
  out.activation = d.activation;
  out.qk_norm = d.qk_norm;
  out.post_norms = d.post_norms;
  out.sliding_rope = d.sliding_rope;
  out.paired_rows = family.paired_rows_in_gguf;
  out.hidden = config.integer(prefix + "embedding_length", {});
  out.feed_forward = config.integer(prefix + "feed_forward_length", {});
  out.layers = config.integer(prefix + "block_count", {}, 1, 100000);
  out.heads = config.integer(prefix + "attention.head_count", {});
  out.kv_heads = config.integer(prefix + "attention.head_count_kv", out.heads);
  out.head_dim = config.integer(prefix + "attention.key_length", out.hidden / out.heads);
  const std::int64_t value_length = config.integer(prefix + "attention.value_length", out.head_dim);
  if (value_length != out.head_dim)
    config.refuse(prefix + "attention.value_length", std::to_string(value_length),
                  "the key length (" + std::to_string(out.head_dim) + ")");
  out.context = config.integer(prefix + "context_length", 2048);
  out.norm_eps = config.real(prefix + "attention.layer_norm_rms_epsilon", {}, 0, 1);
  out.windows.assign(static_cast<std::size_t>(out.layers), 0);
  if (family.read_own_gguf)
    family.read_own_gguf(config, prefix, out);
  else if (config.has(prefix + "attention.sliding_window"))
    config.refuse(prefix + "attention.sliding_window", "present",
                  "GGUF files of this architecture without a sliding window; the layers it covers "
                  "are not stated in this format, use the HF folder");
  if (config.has(prefix + "expert_count") && config.integer(prefix + "expert_count", {}, 0) > 0)
    config.refuse(prefix + "expert_count", "a mixture of experts", "dense feed-forward layers");
  read_gguf_rope(config, prefix, out);

  // What the format leaves to the tensors.
  const TensorInfo& embedding = checkpoint.at("token_embd.weight");
  out.vocabulary = config.integer(prefix + "vocab_size", embedding.rows());
  out.tied_head = checkpoint.find("output.weight") == nullptr;
  out.qkv_bias = checkpoint.find("blk.0.attn_q.bias") != nullptr;
  out.output_bias = checkpoint.find("blk.0.attn_output.bias") != nullptr;
  out.mlp_bias = checkpoint.find("blk.0.ffn_down.bias") != nullptr;
  return out;
}

// To a type with `bits` significant bits, ties to even; x is far from both ends of its range.
float rounded(float x, int bits) {
  int exponent = 0;
  const float fraction = std::frexp(x, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(fraction, bits)), exponent - bits);
}

// The references multiply by sqrt(h) in the type of the embedding's weight (models 3.4); blocks of quantized files are
// float32 by then.
double embedding_multiplier(const Checkpoint& checkpoint, std::int64_t hidden) {
  const auto exact = static_cast<float>(std::sqrt(static_cast<double>(hidden)));
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    if (tensor.name != "token_embd.weight" && tensor.name.find("embed_tokens.weight") == std::string::npos) continue;
    if (tensor.type == DType::bf16) return static_cast<double>(rounded(exact, 8));
    if (tensor.type == DType::f16) return static_cast<double>(rounded(exact, 11));
  }
  return static_cast<double>(exact);
}

void check_consistency(const DecoderConfig& c, const std::string& path) {
  const auto fail = [&](const std::string& what) { throw DataError(path + ": " + what); };
  if (c.heads % c.kv_heads != 0)
    fail("attention heads (" + std::to_string(c.heads) + ") are no multiple of key-value heads (" +
         std::to_string(c.kv_heads) + ")");
  if (c.head_dim < 2 || c.head_dim % 2 != 0)
    fail("head dimension " + std::to_string(c.head_dim) + "; rotary embedding needs an even one, 2 or more");
}

}  // namespace

DecoderConfig read_decoder_config(const Checkpoint& checkpoint, const DecoderFamily& family) {
  const bool gguf = checkpoint.format().rfind("GGUF", 0) == 0;
  DecoderConfig out = gguf ? read_gguf(checkpoint, family) : read_hf(checkpoint, family);
  if (out.attention_scale == 0) out.attention_scale = 1 / std::sqrt(static_cast<double>(out.head_dim));
  if (family.scales_embedding) out.embedding_multiplier = embedding_multiplier(checkpoint, out.hidden);
  check_consistency(out, checkpoint.path());
  return out;
}

std::vector<float> rope_frequencies(std::int64_t head_dim, const Rope& rope, const std::vector<float>& divisors) {
  const RopeScaling& scaling = rope.scaling;
  const auto half = static_cast<std::size_t>(head_dim / 2);
  std::vector<float> out(half);
  for (std::size_t i = 0; i < half; ++i) {
    // Rounded to float32 where transformers rounds: one unit more or less in a frequency turns late positions by 1e-4.
    const float exponent = 2.0f * static_cast<float>(i) / static_cast<float>(head_dim);
    double f = 1.0f / static_cast<float>(std::pow(rope.theta, static_cast<double>(exponent)));
    if (scaling.kind == RopeScaling::Kind::linear) {
      f /= scaling.factor;
    } else if (scaling.kind == RopeScaling::Kind::llama3) {
      const double wavelength = 2 * std::numbers::pi / f;
      const double low = scaling.low_freq_factor, high = scaling.high_freq_factor;
      if (wavelength > scaling.original_context / low) {
        f /= scaling.factor;
      } else if (wavelength >= scaling.original_context / high) {
        const double s = (scaling.original_context / wavelength - low) / (high - low);
        f = (1 - s) * f / scaling.factor + s * f;
      }
    }
    if (!divisors.empty()) f /= divisors.at(i);
    out[i] = static_cast<float>(f);
  }
  return out;
}

}  // namespace stamp
