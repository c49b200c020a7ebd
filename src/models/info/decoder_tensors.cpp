#include "models/info/decoder_tensors.h"

#include <set>

#include "base/error.h"
#include "base/text.h"
#include "formats/dtype.h"

namespace stamp {
namespace {

// Spellings of one layer's parts in the two formats.
struct Spelling {
  std::string embedding, layer, final_norm, head;
  const char *attention_norm, *q, *k, *v, *o, *q_norm, *k_norm, *feed_forward_norm, *gate, *up, *down;
  // Of models with four norms a layer. In Hugging Face's names "post_attention_layernorm" is then what it says, while
  // with two norms it is the one before the feed-forward layers.
  const char *post_attention_norm, *pre_feed_forward_norm, *post_feed_forward_norm;
};

Spelling gguf_spelling() {
  return {"token_embd.weight",
          "blk.",
          "output_norm.weight",
          "output.weight",
          "attn_norm.weight",
          "attn_q",
          "attn_k",
          "attn_v",
          "attn_output",
          "attn_q_norm.weight",
          "attn_k_norm.weight",
          "ffn_norm.weight",
          "ffn_gate",
          "ffn_up",
          "ffn_down",
          "post_attention_norm.weight",
          "ffn_norm.weight",
          "post_ffw_norm.weight"};
}

Spelling hf_spelling(const std::string& prefix, const std::string& head) {
  return {prefix + "embed_tokens.weight",
          prefix + "layers.",
          prefix + "norm.weight",
          head,
          "input_layernorm.weight",
          "self_attn.q_proj",
          "self_attn.k_proj",
          "self_attn.v_proj",
          "self_attn.o_proj",
          "self_attn.q_norm.weight",
          "self_attn.k_norm.weight",
          "post_attention_layernorm.weight",
          "mlp.gate_proj",
          "mlp.up_proj",
          "mlp.down_proj",
          "post_attention_layernorm.weight",
          "pre_feedforward_layernorm.weight",
          "post_feedforward_layernorm.weight"};
}

Spelling spelling_of(const Checkpoint& checkpoint) {
  if (checkpoint.format().rfind("GGUF", 0) == 0) return gguf_spelling();
  // Bare models (without head) may lack the prefix (models 3.2); models that also see images put theirs around it, on
  // either side.
  for (const char* prefix : {"model.", "", "language_model.model.", "model.language_model."}) {
    if (!checkpoint.find(std::string(prefix) + "embed_tokens.weight")) continue;
    const bool outer = std::string(prefix) == "language_model.model.";
    return hf_spelling(prefix, outer ? "language_model.lm_head.weight" : "lm_head.weight");
  }
  return hf_spelling("model.", "lm_head.weight");  // what is missing is then told in the usual names
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// Buffers that old writers stored and that are computed here (models 1.2).
bool carries_nothing(const std::string& name) {
  for (const char* end : {".rotary_emb.inv_freq", ".position_ids", ".masked_bias", ".attn.bias", ".attn_rot_embd"})
    if (ends_with(name, end)) return true;
  return name == "rope_freqs.weight";
}

// Collects faults instead of throwing at the first one.
class Finder {
 public:
  explicit Finder(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  const TensorInfo* take(const std::string& name, const std::vector<std::int64_t>& shape) {
    const TensorInfo* tensor = checkpoint_.find(name);
    taken_.insert(name);
    if (!tensor) {
      faults_.push_back("missing tensor " + name + " " + shape_text(shape));
    } else if (tensor->shape != shape) {
      faults_.push_back(name + " has shape " + shape_text(tensor->shape) + ", expected " + shape_text(shape));
      return nullptr;
    } else if (const std::string fault = fault_of_values(*tensor); !fault.empty()) {
      faults_.push_back(std::string(name).append(" ").append(fault));
    } else {
      elements_ += tensor->elements();
    }
    return tensor;
  }
  LinearTensors linear(const std::string& stem, std::int64_t out, std::int64_t in, bool bias) {
    LinearTensors found;
    found.weight = take(stem + ".weight", {out, in});
    if (bias) found.bias = take(stem + ".bias", {out});
    return found;
  }
  void ignore(const std::string& name) { taken_.insert(name); }

  // Tensors nobody asked for: inside a layer they change the function, so they are faults; elsewhere they are listed.
  void sort_rest(const std::string& layer_prefix, std::vector<std::string>& ignored) {
    for (const TensorInfo& tensor : checkpoint_.tensors()) {
      if (taken_.count(tensor.name)) continue;
      if (!carries_nothing(tensor.name) && tensor.name.rfind(layer_prefix, 0) == 0)
        faults_.push_back("unexpected tensor " + tensor.name + " " + shape_text(tensor.shape));
      else
        ignored.push_back(tensor.name);
    }
  }
  void finish() const {
    if (faults_.empty()) return;
    constexpr std::size_t shown = 8;
    std::vector<std::string> lines(faults_.begin(),
                                   faults_.begin() + static_cast<std::ptrdiff_t>(std::min(shown, faults_.size())));
    if (faults_.size() > shown) lines.push_back("and " + std::to_string(faults_.size() - shown) + " more");
    throw DataError(checkpoint_.path() + ": the tensors do not fit the model's configuration: " + join(lines, "; "));
  }
  std::int64_t elements() const { return elements_; }

 private:
  const Checkpoint& checkpoint_;
  std::set<std::string> taken_;
  std::vector<std::string> faults_;
  std::int64_t elements_ = 0;
};

}  // namespace

DecoderTensors find_decoder_tensors(const Checkpoint& checkpoint, const DecoderConfig& c) {
  const bool gguf = checkpoint.format().rfind("GGUF", 0) == 0;
  const Spelling s = spelling_of(checkpoint);
  // A layer has nine tensors or more; a count beyond what the file holds is refused before anything is sized by it.
  if (c.layers > static_cast<std::int64_t>(checkpoint.tensors().size()))
    throw DataError(checkpoint.path() + ": " + std::to_string(c.layers) +
                    " layers are configured, but there are only " + std::to_string(checkpoint.tensors().size()) +
                    " tensors");
  Finder finder(checkpoint);
  DecoderTensors out;
  out.embedding = finder.take(s.embedding, {c.vocabulary, c.hidden});
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const std::string p = s.layer + std::to_string(i) + ".";
    DecoderLayerTensors t;
    t.attention_norm = finder.take(p + s.attention_norm, {c.hidden});
    t.q = finder.linear(p + s.q, c.query_width(), c.hidden, c.qkv_bias);
    t.k = finder.linear(p + s.k, c.kv_width(), c.hidden, c.qkv_bias);
    t.v = finder.linear(p + s.v, c.kv_width(), c.hidden, c.qkv_bias);
    t.o = finder.linear(p + s.o, c.hidden, c.query_width(), c.output_bias);
    if (c.qk_norm) {
      t.q_norm = finder.take(p + s.q_norm, {c.head_dim});
      t.k_norm = finder.take(p + s.k_norm, {c.head_dim});
    }
    if (c.post_norms) {
      t.post_attention_norm = finder.take(p + s.post_attention_norm, {c.hidden});
      t.post_feed_forward_norm = finder.take(p + s.post_feed_forward_norm, {c.hidden});
    }
    t.feed_forward_norm = finder.take(p + (c.post_norms ? s.pre_feed_forward_norm : s.feed_forward_norm), {c.hidden});
    t.gate = finder.linear(p + s.gate, c.feed_forward, c.hidden, c.mlp_bias);
    t.up = finder.linear(p + s.up, c.feed_forward, c.hidden, c.mlp_bias);
    t.down = finder.linear(p + s.down, c.hidden, c.feed_forward, c.mlp_bias);
    out.layers.push_back(t);
  }
  out.final_norm = finder.take(s.final_norm, {c.hidden});
  if (c.tied_head)
    finder.ignore(s.head);  // a stored copy of a tied head is not read: the embedding wins (models 3.2)
  else
    out.head = finder.take(s.head, {c.vocabulary, c.hidden});
  out.parameters = finder.elements();
  if (gguf && checkpoint.find("rope_freqs.weight")) {
    out.rope_divisors = finder.take("rope_freqs.weight", {c.head_dim / 2});
    out.parameters = out.parameters - (out.rope_divisors ? c.head_dim / 2 : 0);  // not learned
  }
  finder.sort_rest(s.layer, out.ignored);
  finder.finish();
  return out;
}

std::vector<SlotInfo> decoder_slots(const DecoderConfig& c) {
  std::vector<SlotInfo> slots;
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const std::string p = "layers." + std::to_string(i) + ".";
    const int layer = static_cast<int>(i);
    const auto linear = [&](const char* name, std::int64_t features, std::vector<std::string> readers) {
      for (std::string& reader : readers) reader = p + reader;
      slots.push_back({p + name + ".input", SlotKind::linear_input, features, 1, layer, std::move(readers)});
    };
    linear("attention.qkv_proj", c.hidden, {"attention.q_proj", "attention.k_proj", "attention.v_proj"});
    slots.push_back({p + "attention.key_cache", SlotKind::key_cache, c.kv_width(), c.kv_heads, layer, {}});
    slots.push_back({p + "attention.value_cache", SlotKind::value_cache, c.kv_width(), c.kv_heads, layer, {}});
    linear("attention.o_proj", c.query_width(), {"attention.o_proj"});
    linear("mlp.gate_up_proj", c.hidden, {"mlp.gate_proj", "mlp.up_proj"});
    linear("mlp.down_proj", c.feed_forward, {"mlp.down_proj"});
  }
  return slots;
}

}  // namespace stamp
