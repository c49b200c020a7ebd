#include <algorithm>
#include <map>

#include "models/info/architecture.h"
#include "models/info/decoder_tensors.h"

namespace stamp {
namespace {

Json rope_json(const DecoderConfig& c, bool divisors) {
  Json rope = {{"theta", c.rope_theta},
               {"scaling", divisors ? "llama3 (rope_freqs.weight)" : name_of(c.rope_scaling.kind)}};
  if (c.rope_scaling.kind != RopeScaling::Kind::none) rope["factor"] = c.rope_scaling.factor;
  if (c.rope_scaling.kind == RopeScaling::Kind::llama3) {
    rope["low_freq_factor"] = c.rope_scaling.low_freq_factor;
    rope["high_freq_factor"] = c.rope_scaling.high_freq_factor;
    rope["original_context"] = c.rope_scaling.original_context;
  }
  return rope;
}

Json slots_json(const DecoderConfig& c) {
  Json out = Json::array();
  for (const SlotInfo& slot : decoder_slots(c)) {
    Json entry = {
        {"name", slot.name}, {"kind", name_of(slot.kind)}, {"features", slot.features}, {"layer", slot.layer}};
    if (slot.kind == SlotKind::linear_input)
      entry["linears"] = slot.linears;
    else
      entry["heads"] = slot.heads;
    out.push_back(std::move(entry));
  }
  return out;
}

}  // namespace

Json describe_model(const Checkpoint& checkpoint) {
  const DecoderConfig c = read_decoder_config(checkpoint, decoder_family(checkpoint));
  const DecoderTensors tensors = find_decoder_tensors(checkpoint, c);
  std::map<std::string, std::int64_t> types;
  std::uint64_t bytes = 0;
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    ++types[name_of(tensor.type)];
    bytes += tensor.bytes;
  }
  const auto sliding = std::count_if(c.windows.begin(), c.windows.end(), [](std::int64_t w) { return w > 0; });
  Json out;
  out["architecture"] = c.architecture;
  out["format"] = checkpoint.format();
  out["path"] = checkpoint.path();
  out["parameters"] = tensors.parameters;
  out["tensors"] = checkpoint.tensors().size();
  out["tensor_types"] = types;
  out["tensor_bytes"] = bytes;
  out["dimensions"] = {{"vocabulary", c.vocabulary}, {"hidden", c.hidden},  {"feed_forward", c.feed_forward},
                       {"layers", c.layers},         {"heads", c.heads},    {"kv_heads", c.kv_heads},
                       {"head_dim", c.head_dim},     {"context", c.context}};
  out["norm_eps"] = c.norm_eps;
  out["tied_head"] = c.tied_head;
  out["biases"] = {{"qkv", c.qkv_bias}, {"output", c.output_bias}, {"mlp", c.mlp_bias}};
  out["rope"] = rope_json(c, tensors.rope_divisors != nullptr);
  out["sliding_layers"] = sliding;
  if (sliding > 0) out["sliding_window"] = *std::max_element(c.windows.begin(), c.windows.end());
  out["ignored_tensors"] = tensors.ignored;
  out["slots"] = slots_json(c);
  return out;
}

}  // namespace stamp
