// Hyper-parameters of a decoder language model, from config.json or from GGUF metadata. Specification
// models 1.6, 2.2, 3.1.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "models/info/config_reader.h"

namespace stamp {

struct RopeScaling {
  enum class Kind { none, linear, llama3 };
  Kind kind = Kind::none;
  double factor = 1;            // linear, llama3
  double low_freq_factor = 1;   // llama3
  double high_freq_factor = 4;  // llama3
  double original_context = 0;  // llama3, tokens
};
const char* name_of(RopeScaling::Kind kind);

struct Rope {
  double theta = 10000;
  RopeScaling scaling;
};

enum class Activation { silu, gelu_tanh };
const char* name_of(Activation activation);  // "silu", "gelu_tanh"

struct DecoderConfig {
  std::string architecture;       // "llama"
  std::int64_t vocabulary = 0;    // V
  std::int64_t hidden = 0;        // h
  std::int64_t feed_forward = 0;  // f
  std::int64_t layers = 0;        // L
  std::int64_t heads = 0;         // nh
  std::int64_t kv_heads = 0;      // nkv, divides nh
  std::int64_t head_dim = 0;      // hd, even; nh * hd need not equal h
  std::int64_t context = 0;       // tokens the model was trained for; longer windows are allowed
  double norm_eps = 1e-6;
  Rope rope;
  std::optional<Rope> sliding_rope;          // of the layers with a window, where they have their own (Gemma 3)
  Activation activation = Activation::silu;  // of the gate
  bool qk_norm = false;                      // RMS norm of every head of q and k, before RoPE
  bool post_norms = false;       // two more norms a layer, on what attention and feed-forward add to the residual
  bool norm_adds_one = false;    // the checkpoint stores norm weights minus one (Gemma's safetensors; not its GGUF)
  double attention_scale = 0;    // of the scores: hd^-0.5 unless the family says otherwise
  double attention_softcap = 0;  // scores become cap * tanh(score / cap); 0 = as they are
  double final_softcap = 0;      // the same of the logits
  double embedding_multiplier = 1;
  bool tied_head = false;  // the head is the embedding
  bool qkv_bias = false;
  bool output_bias = false;  // of o_proj
  bool mlp_bias = false;
  // One a layer: keys a query sees, itself included; 0 = all before it.
  std::vector<std::int64_t> windows;
  bool paired_rows = false;  // q and k rows are stored as ggml rotates them (models 1.7) and must be put back

  std::int64_t query_width() const { return heads * head_dim; }
  std::int64_t kv_width() const { return kv_heads * head_dim; }
  const Rope& rope_of(std::int64_t layer) const {
    return sliding_rope && windows[static_cast<std::size_t>(layer)] > 0 ? *sliding_rope : rope;
  }
};

// What one family of decoders differs in. A new family is a header, a source and one line in models/info/register.cpp.
struct DecoderFamily {
  std::string name;                      // general.architecture, and a model_type
  std::vector<std::string> model_types;  // other values of model_type that mean this family
  std::string summary;
  // Of config.json; heads as given there, kv_heads 0 = heads, head_dim 0 = hidden / heads. Activation, q and k norms
  // and post norms hold for GGUF files too.
  DecoderConfig defaults;
  std::string activation_key = "hidden_act";
  bool scales_embedding = false;  // by sqrt(hidden), rounded to the stored type of the embedding
  bool in_gguf = true;            // false: llama.cpp writes these models as another architecture
  bool paired_rows_in_gguf = false;
  // Reads what only this family has from config.json: biases, windows, caps, the scale of the scores.
  void (*read_own)(const ConfigReader& config, DecoderConfig& out) = nullptr;
  // The same from GGUF metadata, whose keys begin with `prefix`. Null: the family has no window in this format.
  void (*read_own_gguf)(const ConfigReader& config, const std::string& prefix, DecoderConfig& out) = nullptr;
};

// DataError names the file, the key, what it holds and what is allowed. An unread RoPE field is an error.
// No tensor is read; sizes are plausible and consistent afterwards, but not yet compared with the tensors.
DecoderConfig read_decoder_config(const Checkpoint& checkpoint, const DecoderFamily& family);

// Rotary frequencies, hd / 2 of them, radians per token. `divisors`: rope_freqs.weight of a GGUF file, or empty.
std::vector<float> rope_frequencies(std::int64_t head_dim, const Rope& rope, const std::vector<float>& divisors = {});

}  // namespace stamp
