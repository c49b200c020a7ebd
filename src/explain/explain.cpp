#include "explain/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/text.h"
#include "explain/chosen.h"
#include "explain/cost.h"
#include "explain/placement.h"
#include "models/info/decoder_tensors.h"
#include "models/info/diffusion_config.h"
#include "quant/allocation.h"
#include "transforms/levels.h"
#include "transforms/per_slot.h"

namespace stamp {

namespace {

const Json& part(const Json& json, const char* name) {
  static const Json none = Json::object();
  const auto it = json.find(name);
  return it != json.end() && it->is_object() ? *it : none;
}

std::string word(const Json& json, const char* name, const std::string& fallback) {
  const auto it = json.find(name);
  return it != json.end() && it->is_string() ? it->get<std::string>() : fallback;
}

double number(const Json& json, const char* name, double fallback) {
  const auto it = json.find(name);
  return it != json.end() && it->is_number() ? it->get<double>() : fallback;
}

bool truth(const Json& json, const char* name, bool fallback) {
  const auto it = json.find(name);
  return it != json.end() && it->is_boolean() ? it->get<bool>() : fallback;
}

std::int64_t whole(const Json& json, const char* name, std::int64_t fallback) {
  return static_cast<std::int64_t>(number(json, name, static_cast<double>(fallback)));
}

NetworkSizes sizes_of(const ExplainRequest& request) {
  const Json& d = part(request.description, "dimensions");
  NetworkSizes n;
  n.hidden = whole(d, "hidden", 0);
  n.feed_forward = whole(d, "feed_forward", 0);
  n.layers = whole(d, "layers", 0);
  n.heads = whole(d, "heads", 0);
  n.kv_heads = whole(d, "kv_heads", n.heads);
  n.head_dim = whole(d, "head_dim", 0);
  n.cross_width = whole(d, "cross_heads", 0) * whole(d, "cross_head_dim", 0);
  if (n.hidden < 1 || n.layers < 1 || n.heads < 1 || n.head_dim < 1 || n.feed_forward < 1)
    throw DataError(fmt::format("trial {}: the model's description has no dimensions; nothing can be said of its slots",
                                request.trial));
  return n;
}

std::vector<SlotInfo> decoder_block(const NetworkSizes& n) {
  DecoderConfig c;
  c.layers = 1;
  c.hidden = n.hidden;
  c.feed_forward = n.feed_forward;
  c.heads = n.heads;
  c.kv_heads = n.kv_heads;
  c.head_dim = n.head_dim;
  return decoder_slots(c);
}

std::vector<SlotInfo> diffusion_block(const NetworkSizes& n, const std::string& architecture, const Json& dimensions) {
  DiffusionConfig c;
  c.kind = architecture.starts_with("Sana")     ? DiffusionKind::sana
           : architecture.starts_with("PixArt") ? DiffusionKind::pixart
                                                : DiffusionKind::dit;
  c.heads = n.heads;
  c.head_dim = n.head_dim;
  c.feed_forward = n.feed_forward;
  c.cross_heads = whole(dimensions, "cross_heads", 0);
  c.cross_head_dim = whole(dimensions, "cross_head_dim", 0);
  return diffusion_block_slots(c, 0);
}

std::int64_t outputs_of(const std::string& linear, const NetworkSizes& n) {
  const auto is = [&](std::initializer_list<const char*> names) {
    return std::any_of(names.begin(), names.end(), [&](const char* name) { return linear == name; });
  };
  if (linear == "attention.q_proj") return n.heads * n.head_dim;
  if (is({"attention.k_proj", "attention.v_proj"})) return n.kv_heads * n.head_dim;
  if (is({"mlp.gate_proj", "mlp.up_proj", "ff.net.0.proj"})) return n.feed_forward;
  if (linear == "ff.conv_inverted") return 2 * n.feed_forward;  // gate and value
  if (is({"attn2.to_k", "attn2.to_v", "attn2.to_q"})) return n.cross_width;
  return n.hidden;  // everything that goes back into the residual stream, and self-attention of image models
}

struct Left {
  std::string transform;
  std::int64_t skip = 0, levels = 0, height = 0, width = 0;
  std::string text;
  std::string note;  // what the levels rest on; "" where they were given
};

Left left_of(const Json& quantization, const NetworkSizes& n, bool diffusion, std::int64_t tokens) {
  const Json& sequence = part(quantization, "sequence");
  const Json& allocation = part(quantization, "allocation");
  Left left;
  left.transform = word(sequence, "transform", "identity");
  left.skip = diffusion ? 0 : whole(sequence, "skip_first", 1);
  left.height = n.grid_height;
  left.width = n.grid_width;
  std::int64_t high = 0;
  if (allocation.contains("high_tokens")) high = std::min(count_option(allocation, "high_tokens", tokens), tokens);
  high = high > 0 ? std::max<std::int64_t>(high - left.skip, 1) : 0;
  const std::int64_t rows = std::max<std::int64_t>(tokens - left.skip, 1);
  SequenceTransformRequest request;
  request.tokens = rows;
  request.high_tokens = high;
  request.grid_height = left.height;
  request.grid_width = left.width;
  request.options = sequence;
  if (const std::optional<LevelCount> count = level_count(left.transform, request)) {
    left.levels = count->levels;
    if (count->assumes_rows)
      left.note = fmt::format("levels: auto assumes {} high rows, because allocation {} names none; set levels",
                              published_high_rows, word(allocation, "kind", "two_level"));
    // Packets without a level still order their rows; of a grid that is no square the sides are not known.
    if (!count->mixes() && left.transform != "haar_packets" && (left.transform != "haar2d" || left.width > 0)) {
      left.text =
          fmt::format("{} with 0 levels, which is the identity: rows are quantized where they lie", left.transform);
      left.transform = "identity";
      return left;
    }
  }
  if (left.transform == "identity") {
    left.text = "identity: rows are quantized where they lie";
    return left;
  }
  left.text = left.transform == per_slot_name
                  ? choice_text(sequence, rows, high, diffusion ? left.height : 0, diffusion ? left.width : 0)
                  : left.transform;
  if (left.levels > 0) left.text += fmt::format(", {} level{}", left.levels, left.levels == 1 ? "" : "s");
  if (left.transform.ends_with("2d"))
    left.text += fmt::format(", on a grid of {} x {} tokens", left.height, left.width);
  if (left.skip > 0)
    left.text += left.skip == 1 ? std::string(", behind 1 token that passes as it is")
                                : fmt::format(", behind {} tokens that pass as they are", left.skip);
  return left;
}

// What of a wire stands behind L^-1 that is not linear in the rows: L^-1 has to come before it.
std::string before_what(const std::string& slot) {
  if (slot == "attention.qkv_proj") return "on q, k and v, before RoPE and attention";
  if (slot == "mlp.gate_up_proj") return "on both outputs, before the activation and their product";
  if (slot == "attention.o_proj" || slot == "mlp.down_proj")
    return "on the output, before the residual sum and the norm";
  if (slot.ends_with("_cache")) return "on what is read from the cache, before attention";
  if (slot == "attn1.to_q") return "on q, k and v, before attention";
  if (slot == "attn2.to_q") return "on q, before cross-attention";
  if (slot == "ff.conv_inverted") return "on the output, before the depthwise convolution, which mixes tokens";
  if (slot == "ff.net.0.proj") return "on the output, before the activation";
  return "on the output, before it is gated and added";
}

std::string granularity_of(const ExplainedSlot& s, const Json& quantization) {
  if (s.info.kind != SlotKind::linear_input)
    return word(part(quantization, "kv_cache"), "granularity", "head") == "head" ? "one scale a head and row"
                                                                                 : "one scale a row";
  const Json& a = part(quantization, "activations");
  if (word(a, "granularity", "token") == "token") return "one scale a row";
  return fmt::format("groups of {} features", std::min(whole(a, "group_size", 64), s.info.features));
}

std::string grid_of(const ExplainedSlot& s, const Json& quantization) {
  const Json& p = part(quantization, s.info.kind == SlotKind::linear_input ? "activations" : "kv_cache");
  std::string text = truth(p, "symmetric", false) ? "symmetric" : "asymmetric";
  const double clip = number(p, "clip", 1);
  if (clip != 1) text += fmt::format(", clip {:.3g}", clip);
  return text;
}

void set_bits(ExplainedSlot& s, const Json& quantization, bool high_rows) {
  const Json& own = part(quantization, s.info.kind == SlotKind::linear_input ? "activations" : "kv_cache");
  s.low_bits = number(own, "bits", 16);
  s.high_bits = s.low_bits;
  if (s.low_bits >= 16) {
    s.quantized = false;
    s.why_not = "16 bits: left in full precision";
    return;
  }
  const Json& allocation = part(quantization, "allocation");
  const std::string kind = high_rows ? word(allocation, "kind", "two_level") : "uniform";
  if (kind == "two_level") {
    s.high_bits = number(allocation, "high_bits", 8);
    s.high_rows = s.tokens > 0 && allocation.contains("high_tokens")
                      ? std::min(count_option(allocation, "high_tokens", s.tokens), s.tokens)
                      : 0;
    if (s.tokens > 0)
      s.average_bits =
          (static_cast<double>(s.high_rows) * s.high_bits + static_cast<double>(s.tokens - s.high_rows) * s.low_bits) /
          static_cast<double>(s.tokens);
    const std::string pick = word(allocation, "pick", "first");
    s.allocation = fmt::format("{} rows at {:.3g} bits ({}), the others at {:.3g}", s.high_rows, s.high_bits,
                               pick == "first" ? "the first" : "by " + pick, s.low_bits);
  } else if (kind == "uniform") {
    s.average_bits = s.low_bits;
    s.allocation = fmt::format("{:.3g} bits in every row", s.low_bits);
  } else if (kind == "budget") {
    s.high_bits = number(allocation, "high_bits", 8);
    s.allocation =
        fmt::format("rows at {:.3g} bits ({}) as the noise of all slots together asks for, the others at {:.3g}",
                    s.high_bits, word(allocation, "pick", "first") == "first" ? "the first" : "by noise", s.low_bits);
  } else {
    const auto it = allocation.find("average_bits");
    if (it != allocation.end() && it->is_number()) s.average_bits = it->get<double>();
    s.allocation = fmt::format("{}: {:.3g} to {:.3g} bits by the rows' calibrated energy", kind,
                               number(allocation, "min_bits", 1), number(allocation, "max_bits", 8));
  }
}

void set_left(ExplainedSlot& s, const Left& left, std::int64_t tokens, bool transformed,
              const std::vector<std::string>& chosen) {
  double outputs = 0;
  for (const ExplainedLinear& l : s.linears) outputs += static_cast<double>(l.outputs);
  if (s.linears.empty()) outputs = static_cast<double>(s.info.features);
  const bool untouched = std::all_of(chosen.begin(), chosen.end(), [](const auto& name) { return name == "identity"; });
  if (!chosen.empty()) s.chosen = chosen_text(chosen);
  if (!s.quantized || !transformed || left.transform == "identity" || (!chosen.empty() && untouched)) {
    s.left = {"L = I", Placed::none, "", 0};
    s.left_back = s.left;
    return;
  }
  const double column = chosen.empty()
                            ? left_operations(left.transform, tokens - left.skip, left.levels, left.height, left.width)
                            : mean_operations(chosen, tokens - left.skip, left.height, left.width);
  const double token = column > 0 ? column / static_cast<double>(tokens) : 0;
  s.left = {"L X", Placed::online, "before the quantizer", token * static_cast<double>(s.info.features)};
  s.left_back = {"L^-1", Placed::online, before_what(s.name), token * outputs};
}

// Means over the layers of what a record measured in slots of this kind.
void set_measured(ExplainedSlot& s, const Record* record, const std::string& prefix) {
  if (!record) return;
  double bits = 0, ratio = 0, sqnr = 0;
  std::size_t n = 0, with_bits = 0;
  for (const SlotResult& r : record->slots) {
    std::string name = r.name;
    if (!name.starts_with(prefix) || r.sums.samples == 0) continue;
    const std::size_t dot = name.find('.', prefix.size());
    if (dot == std::string::npos || within_block(name.substr(dot + 1)) != s.name) continue;
    ++n;
    ratio += r.ratio();
    sqnr += r.sums.sqnr_db();
    if (s.tokens == 0) s.tokens = r.sums.tokens;
    if (const auto b = r.bits()) {
      bits += *b;
      ++with_bits;
    }
  }
  if (n == 0) return;
  s.ratio = ratio / static_cast<double>(n);
  if (std::isfinite(sqnr)) s.sqnr_db = sqnr / static_cast<double>(n);
  if (with_bits > 0) {
    s.average_bits = bits / static_cast<double>(with_bits);
    s.average_measured = true;
  }
}

std::int64_t tokens_of(const ExplainRequest& request, bool diffusion) {
  if (request.record)
    for (const SlotResult& s : request.record->slots)
      if (s.sums.tokens > 0 && s.name.find("attn2.to_k") == std::string::npos) return s.sums.tokens;
  if (diffusion) return whole(part(request.description, "dimensions"), "tokens", 0);
  return whole(part(request.spec, "data"), "context", 2048);
}

}  // namespace

const char* name_of(Placed placed) {
  switch (placed) {
    case Placed::folded: return "offline";
    case Placed::online: return "online";
    case Placed::none: return "none";
  }
  return "";
}

double ExplainedSlot::online_operations() const {
  return std::accumulate(right.begin(), right.end(), left.operations + left_back.operations,
                         [](double sum, const Step& s) { return sum + s.operations; });
}

double Explanation::layer_operations() const {
  double sum = 0;
  for (const ExplainedSlot& s : slots)
    if (!s.linears.empty()) sum += s.layer_operations;
  return sum;
}

double Explanation::online_operations() const {
  return std::accumulate(slots.begin(), slots.end(), 0.0,
                         [](double sum, const ExplainedSlot& s) { return sum + s.online_operations(); });
}

Explanation explain(const ExplainRequest& request) {
  Explanation e;
  e.trial = request.trial;
  e.architecture = word(request.description, "architecture", "");
  e.model = word(request.description, "name", word(part(request.spec, "model"), "name", ""));
  e.diffusion = is_diffusion_architecture(e.architecture);
  const Json& quantization = part(request.spec, "quantization");
  e.method = word(quantization, "method", "rtn");
  NetworkSizes n = sizes_of(request);
  e.layers = n.layers;
  e.tokens = tokens_of(request, e.diffusion);
  if (e.diffusion) {
    const auto side = static_cast<std::int64_t>(std::llround(std::sqrt(static_cast<double>(e.tokens))));
    n.grid_height = n.grid_width = side * side == e.tokens ? side : 0;
  }
  const Left left = left_of(quantization, n, e.diffusion, e.tokens);
  e.transform = left.transform;
  e.skip_first = left.skip;
  e.left_text = left.text;

  const Json& dimensions = part(request.description, "dimensions");
  const std::vector<SlotInfo> block = e.diffusion ? diffusion_block(n, e.architecture, dimensions) : decoder_block(n);
  const bool text = truth(part(quantization, "activations"), "text", false);
  const bool recorded = request.record && !request.record->transforms.empty();
  bool known = left.transform == per_slot_name ? recorded : left_operations(left.transform, 4, 1, 2, 2) >= 0;
  for (const SlotInfo& info : block) {
    ExplainedSlot s;
    s.info = info;
    s.name = within_block(info.name);
    for (const std::string& linear : info.linears) {
      const std::string name = within_block(linear);
      s.linears.push_back({name, outputs_of(name, n)});
    }
    const bool context = info.rows == SlotRows::context;
    s.tokens = context ? 0 : e.tokens;
    set_bits(s, quantization, !context);
    if (context && !text && s.quantized) {
      s.quantized = false;
      s.why_not = "rows of the text; quantized on request only (activations.text)";
    }
    for (const ExplainedLinear& l : s.linears)
      s.layer_operations += 2 * static_cast<double>(info.features) * static_cast<double>(l.outputs);
    if (s.linears.empty())  // the projection that fills the cache
      s.layer_operations = 2 * static_cast<double>(n.hidden) * static_cast<double>(info.features);
    const bool cache = info.kind != SlotKind::linear_input;
    const bool transformed = !context && (!cache || truth(part(quantization, "kv_cache"), "transformed", true));
    const std::string layers = e.diffusion ? "transformer_blocks." : "layers.";
    std::vector<std::string> chosen;
    if (request.record) chosen = chosen_in_layers(*request.record, layers, s.name);
    known = known && (!s.quantized || !transformed || chosen.empty() ||
                      mean_operations(chosen, e.tokens, left.height, left.width) >= 0);
    set_left(s, left, e.tokens, transformed, chosen);
    s.granularity = granularity_of(s, quantization);
    s.grid = grid_of(s, quantization);
    set_measured(s, request.record, layers);
    e.slots.push_back(std::move(s));
  }
  const bool keys = number(part(quantization, "kv_cache"), "bits", 16) < 16;
  place_method(e, {e.method, part(quantization, e.method.c_str()), keys, e.diffusion}, n);
  place_shift(e, word(part(quantization, "activations"), "shift", "none"));
  // The weights of what stays in full precision are not changed for a quantizer that is not there.
  for (ExplainedSlot& s : e.slots)
    if (!s.quantized && s.info.rows == SlotRows::context) s.right.clear();
  if (e.transform != "identity") {
    e.notes.push_back(
        "L^-1 is linear: it is counted behind the linear layers, where integer products would be; the simulation here "
        "undoes L on the slot's rows, with the same values");
    if (!e.diffusion) e.notes.push_back("prefill only: a token that is decoded by itself meets L = I");
  }
  if (!left.note.empty()) e.notes.push_back(left.note);
  if (left.transform == per_slot_name && !recorded)
    e.notes.push_back("which transform a slot gets, and its cost, is known when the trial has run");
  else if (!known)
    e.notes.push_back(fmt::format("the cost of {} is not known here and is left out", left.transform));
  e.notes.push_back("not quantized: embedding, norms, softmax, and what stands outside the blocks");
  return e;
}

}  // namespace stamp
