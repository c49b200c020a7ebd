#include <algorithm>
#include <map>

#include "models/info/architecture.h"
#include "models/info/decoder_tensors.h"
#include "models/info/diffusion_config.h"

namespace stamp {
namespace {

Json rope_json(const Rope& rope, bool divisors) {
  const RopeScaling& scaling = rope.scaling;
  Json out = {{"theta", rope.theta}, {"scaling", divisors ? "llama3 (rope_freqs.weight)" : name_of(scaling.kind)}};
  if (scaling.kind != RopeScaling::Kind::none) out["factor"] = scaling.factor;
  if (scaling.kind == RopeScaling::Kind::llama3) {
    out["low_freq_factor"] = scaling.low_freq_factor;
    out["high_freq_factor"] = scaling.high_freq_factor;
    out["original_context"] = scaling.original_context;
  }
  return out;
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

// What is said of any checkpoint.
Json stored_json(const Checkpoint& checkpoint, const std::string& architecture, std::int64_t parameters) {
  std::map<std::string, std::int64_t> types;
  std::uint64_t bytes = 0;
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    ++types[name_of(tensor.type)];
    bytes += tensor.bytes;
  }
  Json out;
  out["architecture"] = architecture;
  out["format"] = checkpoint.format();
  out["path"] = checkpoint.path();
  out["parameters"] = parameters;
  out["tensors"] = checkpoint.tensors().size();
  out["tensor_types"] = types;
  out["tensor_bytes"] = bytes;
  return out;
}

Json describe_diffusion(const Checkpoint& checkpoint) {
  const DiffusionConfig c =
      read_diffusion_config(checkpoint.config(), checkpoint.architecture(), checkpoint.path() + ": config.json: ");
  const std::vector<std::string> ignored = check_diffusion_tensors(checkpoint, c);
  Json out = stored_json(checkpoint, c.architecture, parameters_of(diffusion_tensors(c)));
  const std::int64_t side = c.sample_size / c.patch_size;
  out["dimensions"] = {{"hidden", c.width()},
                       {"feed_forward", c.feed_forward},
                       {"layers", c.layers},
                       {"heads", c.heads},
                       {"head_dim", c.head_dim},
                       {"in_channels", c.in_channels},
                       {"out_channels", c.out_channels},
                       {"sample_size", c.sample_size},
                       {"patch_size", c.patch_size},
                       {"tokens", side * side}};  // of an image of the size that the model was trained for
  if (c.has_text()) {
    out["dimensions"]["caption_channels"] = c.caption_channels;
    out["dimensions"]["cross_heads"] = c.cross_heads;
    out["dimensions"]["cross_head_dim"] = c.cross_head_dim;
  } else {
    out["dimensions"]["classes"] = c.classes;
  }
  out["norm_eps"] = c.norm_eps;
  out["positions"] = c.positions ? Json{{"kind", "sincos"}, {"scale", *c.positions}} : Json("none");
  if (c.kind == DiffusionKind::pixart) out["micro_conditions"] = c.micro_conditions;
  if (c.kind == DiffusionKind::sana) {
    out["qk_norm"] = c.qk_norm;
    out["guidance_embeds"] = c.guidance;
    out["timestep_scale"] = c.timestep_scale;
  }
  out["ignored_tensors"] = ignored;
  out["slots"] = Json::array();
  for (const SlotInfo& slot : diffusion_slots(c))
    out["slots"].push_back({{"name", slot.name},
                            {"kind", name_of(slot.kind)},
                            {"features", slot.features},
                            {"layer", slot.layer},
                            {"linears", slot.linears},
                            {"rows", name_of(slot.rows)},
                            {"quantized", quantized_by_default(slot)}});
  return out;
}

}  // namespace

Json describe_model(const Checkpoint& checkpoint) {
  if (is_diffusion_architecture(checkpoint.architecture())) return describe_diffusion(checkpoint);
  const DecoderConfig c = read_decoder_config(checkpoint, decoder_family(checkpoint));
  const DecoderTensors tensors = find_decoder_tensors(checkpoint, c);
  const auto sliding = std::count_if(c.windows.begin(), c.windows.end(), [](std::int64_t w) { return w > 0; });
  Json out = stored_json(checkpoint, c.architecture, tensors.parameters);
  out["dimensions"] = {{"vocabulary", c.vocabulary}, {"hidden", c.hidden},  {"feed_forward", c.feed_forward},
                       {"layers", c.layers},         {"heads", c.heads},    {"kv_heads", c.kv_heads},
                       {"head_dim", c.head_dim},     {"context", c.context}};
  out["norm_eps"] = c.norm_eps;
  out["tied_head"] = c.tied_head;
  out["biases"] = {{"qkv", c.qkv_bias}, {"output", c.output_bias}, {"mlp", c.mlp_bias}};
  out["rope"] = rope_json(c.rope, tensors.rope_divisors != nullptr);
  if (c.sliding_rope) out["sliding_rope"] = rope_json(*c.sliding_rope, false);
  out["activation"] = name_of(c.activation);
  out["norms"] = {{"qk", c.qk_norm}, {"post", c.post_norms}};
  out["attention_scale"] = c.attention_scale;
  if (c.attention_softcap > 0) out["attention_softcap"] = c.attention_softcap;
  if (c.final_softcap > 0) out["final_softcap"] = c.final_softcap;
  if (c.embedding_multiplier != 1) out["embedding_multiplier"] = c.embedding_multiplier;
  out["sliding_layers"] = sliding;
  if (sliding > 0) out["sliding_window"] = *std::max_element(c.windows.begin(), c.windows.end());
  out["ignored_tensors"] = tensors.ignored;
  out["slots"] = slots_json(c);
  return out;
}

}  // namespace stamp
