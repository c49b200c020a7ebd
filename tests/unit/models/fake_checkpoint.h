// A checkpoint whose configuration and tensor list are written by the test; tensors hold no data.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "formats/checkpoint.h"

namespace stamp::test {

class FakeCheckpoint : public Checkpoint {
 public:
  FakeCheckpoint(Json config, std::string architecture, bool gguf = false)
      : config_(std::move(config)), architecture_(std::move(architecture)), gguf_(gguf) {}
  void add(const std::string& name, std::vector<std::int64_t> shape) {
    TensorInfo tensor;
    tensor.name = name;
    tensor.shape = std::move(shape);
    tensor.bytes = static_cast<std::uint64_t>(tensor.elements()) * 4;
    tensors_.push_back(std::move(tensor));
  }
  void remove(const std::string& name) {
    std::erase_if(tensors_, [&](const TensorInfo& tensor) { return tensor.name == name; });
  }
  Json& edit() { return config_; }
  TensorInfo& tensor(const std::string& name) { return const_cast<TensorInfo&>(at(name)); }

  std::string format() const override { return gguf_ ? "GGUF v3" : "safetensors"; }
  std::string architecture() const override { return architecture_; }
  const Json& config() const override { return config_; }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  std::string path() const override { return "model"; }
  std::vector<std::string> files() const override { return {"model"}; }

 private:
  Json config_;
  std::string architecture_;
  bool gguf_;
  std::vector<TensorInfo> tensors_;
};

// Two layers, h 8, f 12, four heads of 4 (q out 16), two KV heads, V 10.
inline Json small_llama_config() {
  return {{"model_type", "llama"},  {"vocab_size", 10},         {"hidden_size", 8},           {"intermediate_size", 12},
          {"num_hidden_layers", 2}, {"num_attention_heads", 4}, {"num_key_value_heads", 2},   {"head_dim", 4},
          {"rms_norm_eps", 1e-5},   {"rope_theta", 10000.0},    {"tie_word_embeddings", true}};
}

inline FakeCheckpoint small_llama() {
  FakeCheckpoint c(small_llama_config(), "llama");
  c.add("model.embed_tokens.weight", {10, 8});
  for (int i = 0; i < 2; ++i) {
    const std::string p = "model.layers." + std::to_string(i) + ".";
    c.add(p + "input_layernorm.weight", {8});
    c.add(p + "self_attn.q_proj.weight", {16, 8});
    c.add(p + "self_attn.k_proj.weight", {8, 8});
    c.add(p + "self_attn.v_proj.weight", {8, 8});
    c.add(p + "self_attn.o_proj.weight", {8, 16});
    c.add(p + "post_attention_layernorm.weight", {8});
    c.add(p + "mlp.gate_proj.weight", {12, 8});
    c.add(p + "mlp.up_proj.weight", {12, 8});
    c.add(p + "mlp.down_proj.weight", {8, 12});
  }
  c.add("model.norm.weight", {8});
  return c;
}

// What a call's DataError says; "" when it does not throw.
template <class Call>
std::string data_error(Call&& call) {
  try {
    call();
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

}  // namespace stamp::test
