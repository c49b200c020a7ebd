// Hyper-parameters of a decoder language model, from config.json or from GGUF metadata. Specification
// models 1.6, 2.2, 3.1.
#pragma once
#include <cstdint>
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
  double rope_theta = 10000;
  RopeScaling rope_scaling;
  bool tied_head = false;  // the head is the embedding
  bool qkv_bias = false;
  bool output_bias = false;  // of o_proj
  bool mlp_bias = false;
  // One a layer: keys a query sees, itself included; 0 = all before it.
  std::vector<std::int64_t> windows;
  bool paired_rows = false;  // q and k rows are stored as ggml rotates them (models 1.7) and must be put back

  std::int64_t query_width() const { return heads * head_dim; }
  std::int64_t kv_width() const { return kv_heads * head_dim; }
};

// What one family of decoders differs in. A new family is a header, a source and one line in models/info/register.cpp.
struct DecoderFamily {
  std::string name;  // model_type and general.architecture
  std::string summary;
  DecoderConfig defaults;  // of config.json; heads as given there, kv_heads 0 = heads, head_dim 0 = hidden / heads
  bool paired_rows_in_gguf = false;
  // Reads what only this family has from config.json: biases and windows.
  void (*read_own)(const ConfigReader& config, DecoderConfig& out) = nullptr;
};

// DataError names the file, the key, what it holds and what is allowed. An unread RoPE field is an error.
// No tensor is read; sizes are plausible and consistent afterwards, but not yet compared with the tensors.
DecoderConfig read_decoder_config(const Checkpoint& checkpoint, const DecoderFamily& family);

// Rotary frequencies, hd / 2 of them, radians per token. `divisors`: rope_freqs.weight of a GGUF file, or empty.
std::vector<float> rope_frequencies(const DecoderConfig& config, const std::vector<float>& divisors = {});

}  // namespace stamp
