#include "explain/placement.h"

#include <fmt/format.h>

#include <algorithm>

#include "explain/cost.h"

namespace stamp {

namespace {

bool flag(const Json& options, const char* name, bool fallback) {
  const auto it = options.find(name);
  return it != options.end() && it->is_boolean() ? it->get<bool>() : fallback;
}

std::string choice(const Json& options, const char* name, const char* fallback) {
  const auto it = options.find(name);
  return it != options.end() && it->is_string() ? it->get<std::string>() : fallback;
}

double number(const Json& options, const char* name, double fallback) {
  const auto it = options.find(name);
  return it != options.end() && it->is_number() ? it->get<double>() : fallback;
}

ExplainedSlot* slot(Explanation& e, const std::string& name) {
  const auto it = std::find_if(e.slots.begin(), e.slots.end(), [&](const ExplainedSlot& s) { return s.name == name; });
  return it == e.slots.end() ? nullptr : &*it;
}

void add(ExplainedSlot* s, std::string what, Placed placed, std::string where, double operations = 0) {
  if (s) s->right.push_back({std::move(what), placed, std::move(where), operations});
}

bool is_cache(const ExplainedSlot& s) {
  return s.info.kind != SlotKind::linear_input;
}

// What makes the input: a norm takes a scale for nothing, anything else has it multiplied at run time.
std::string norm_before(const ExplainedSlot& s) {
  if (s.name == "attention.qkv_proj") return "the norm before attention";
  if (s.name == "mlp.gate_up_proj") return "the norm before the feed-forward part";
  if (s.name == "attn1.to_q") return "the modulation before self-attention: 1 + scale(t) and shift(t) are divided";
  if (s.name.starts_with("ff.") && s.info.features > 0 && (s.name == "ff.net.0.proj" || s.name == "ff.conv_inverted"))
    return "the modulation before the feed-forward part: 1 + scale(t) and shift(t) are divided";
  return "";
}

void add_scale(ExplainedSlot& s, const std::string& what) {
  const std::string norm = norm_before(s);
  add(&s, what + ", its inverse in the weights' columns", norm.empty() ? Placed::online : Placed::folded,
      norm.empty() ? "multiplied before the slot" : "into " + norm,
      norm.empty() ? static_cast<double>(s.info.features) : 0);
}

void add_rotation(ExplainedSlot& s, bool hadamard, const char* prefix) {
  add(&s, fmt::format("{}{}, its inverse in the weights' columns", prefix, rotation_name(s.info.features, hadamard)),
      Placed::online, "before the slot", rotation_operations(s.info.features, hadamard));
}

void per_head_on_keys(Explanation& e, const NetworkSizes& n, bool hadamard) {
  add(slot(e, "attention.key_cache"),
      fmt::format("{} on every head of k, and of q to match", rotation_name(n.head_dim, hadamard)), Placed::online,
      "after RoPE, which does not commute with it",
      static_cast<double>(n.heads + n.kv_heads) * rotation_operations(n.head_dim, hadamard));
}

void residual_rotation(Explanation& e, const NetworkSizes& n, const std::string& what) {
  e.network.push_back(
      "norm weights: multiplied into the layers that read them (lm_head too); what is left is x / rms(x)");
  e.network.push_back(
      fmt::format("embedding: rows times Q ({}); the residual stream is rotated from end to end", what));
  e.network.push_back("lm_head: its columns times Q; tied embeddings become two matrices");
  for (const char* name : {"attention.qkv_proj", "mlp.gate_up_proj"})
    add(slot(e, name), fmt::format("Q ({} x {}), its inverse in the weights' columns", n.hidden, n.hidden),
        Placed::folded, "arrives with the rotated residual stream");
}

void quarot(Explanation& e, const MethodUse& m, const NetworkSizes& n) {
  const bool hadamard = choice(m.options, "rotation", "hadamard") != "random";
  if (m.diffusion) {
    // A modulation that depends on the time stands between the residual stream and its readers.
    for (ExplainedSlot& s : e.slots) add_rotation(s, hadamard, "");
    return;
  }
  residual_rotation(e, n, (hadamard ? "signs and " : "") + rotation_name(n.hidden, hadamard));
  add(slot(e, "attention.value_cache"), fmt::format("{} on every head of v", rotation_name(n.head_dim, hadamard)),
      Placed::folded, "into the rows (and bias) of v_proj");
  add(slot(e, "attention.o_proj"),
      fmt::format("{} across heads; with that of v its inverse is in the columns of o_proj",
                  rotation_name(n.heads, hadamard)),
      Placed::online, "before the slot", static_cast<double>(n.head_dim) * rotation_operations(n.heads, hadamard));
  add(slot(e, "mlp.down_proj"), rotation_name(n.feed_forward, hadamard) + ", its inverse in the weights' columns",
      Placed::online, "before the slot", rotation_operations(n.feed_forward, hadamard));
  if (m.keys_quantized) per_head_on_keys(e, n, hadamard);
  for (const char* name : {"attention.o_proj", "mlp.down_proj"})
    add(slot(e, name), "Q^T on the output", Placed::folded,
        "into the weights' rows: back into the rotated residual stream");
}

void spinquant(Explanation& e, const MethodUse& m, const NetworkSizes& n) {
  const bool hadamard = choice(m.options, "rotation", "hadamard") != "random";
  const char* kind = flag(m.options, "learn", true) ? "learned" : "not trained";
  residual_rotation(e, n, fmt::format("R1, {}", kind));
  add(slot(e, "attention.value_cache"),
      fmt::format("R2 ({0} x {0}, {1}), one a layer, on every head of v", n.head_dim, kind), Placed::folded,
      "into the rows (and bias) of v_proj");
  add(slot(e, "attention.o_proj"), "R2 on every head, its inverse in the weights' columns", Placed::folded,
      "arrives with the rotated values; nothing across heads");
  add(slot(e, "mlp.down_proj"),
      "R4: " + rotation_name(n.feed_forward, hadamard) + ", its inverse in the weights' columns", Placed::online,
      "before the slot", rotation_operations(n.feed_forward, hadamard));
  if (m.keys_quantized) per_head_on_keys(e, n, hadamard);
  for (const char* name : {"attention.o_proj", "mlp.down_proj"})
    add(slot(e, name), "R1^T on the output", Placed::folded, "into the weights' rows");
}

void flatquant(Explanation& e, const MethodUse& m, const NetworkSizes& n) {
  const bool matrices = flag(m.options, "transforms", true), scales = flag(m.options, "diag", true);
  const auto kron = [&](const char* name) {
    ExplainedSlot* s = slot(e, name);
    if (!s) return;
    if (scales && s->name == "mlp.down_proj")
      add(s, "learned scale of every channel, its inverse in the weights' columns", Placed::folded,
          "into the rows of up_proj");
    else if (scales)
      add_scale(*s, "learned scale of every channel");
    if (matrices)
      add(s, kronecker_name(s->info.features) + ", its inverse in the weights' columns", Placed::online,
          "before the slot", kronecker_operations(s->info.features));
  };
  kron("attention.qkv_proj");
  kron("mlp.gate_up_proj");
  kron("mlp.down_proj");
  if (matrices) {
    add(slot(e, "attention.value_cache"), fmt::format("learned {0} x {0} on every head of v", n.head_dim),
        Placed::folded, "into the rows (and bias) of v_proj");
    add(slot(e, "attention.o_proj"),
        fmt::format("learned {0} x {0} across heads; with that of v its inverse is in the columns of o_proj", n.heads),
        Placed::online, "before the slot",
        2.0 * static_cast<double>(n.head_dim) * static_cast<double>(n.heads) * static_cast<double>(n.heads));
    add(slot(e, "attention.key_cache"),
        fmt::format("learned {0} x {0} on every head of k; its inverse transposed on q", n.head_dim), Placed::online,
        "after RoPE", 2.0 * static_cast<double>((n.heads + n.kv_heads) * n.head_dim * n.head_dim));
  }
  if (flag(m.options, "lac", true))
    e.notes.push_back("learned clip factors narrow the grid of every slot, for its low-bit rows");
  if (flag(m.options, "lwc", true)) e.notes.push_back("learned clip factors narrow every row of every weight, once");
}

void svdquant(Explanation& e, const MethodUse& m) {
  const double rank = number(m.options, "rank", 32);
  for (ExplainedSlot& s : e.slots) {
    if (is_cache(s)) continue;
    add_scale(s, "searched scale of every channel");
    double outputs = 0;
    for (const ExplainedLinear& l : s.linears) outputs += static_cast<double>(l.outputs);
    add(&s,
        fmt::format("low-rank part of rank {:.0f} in 16 bit, which reads the unquantized and untransformed input",
                    rank),
        Placed::online, "beside the slot", 2 * rank * (static_cast<double>(s.info.features) + outputs));
  }
}

void viditq(Explanation& e, const MethodUse& m) {
  const bool rotates = choice(m.options, "recipe", "2025") != "2024";
  const bool last_only = choice(m.options, "layers", "all") == "last";
  const bool hadamard = choice(m.options, "rotation", "hadamard") != "random";
  for (std::size_t i = 0; i < e.slots.size(); ++i) {
    ExplainedSlot& s = e.slots[i];
    if (is_cache(s) || (last_only && i + 1 < e.slots.size())) continue;
    add_scale(s, "balancing scale of every channel");
    if (rotates) add_rotation(s, hadamard, hadamard ? "signs and " : "");
  }
  if (last_only) e.notes.push_back("layers: last: the scale stands in the last block alone");
}

void hadanorm(Explanation& e, const MethodUse& m) {
  const bool scaled = choice(m.options, "scale", "deviation") != "none";
  const bool hadamard = choice(m.options, "rotation", "hadamard") != "random";
  for (ExplainedSlot& s : e.slots) {
    if (is_cache(s)) continue;
    if (scaled) add_scale(s, "scale of every channel");
    add_rotation(s, hadamard, "");
    add(&s, "mean of every channel over the tokens: taken off before the quantizer, given back in full precision",
        Placed::online, "around the slot", 3 * static_cast<double>(s.info.features));
  }
}

void smoothquant(Explanation& e, const MethodUse& m) {
  for (ExplainedSlot& s : e.slots)
    if (!is_cache(s) && !norm_before(s).empty())
      add_scale(s, fmt::format("smoothing scale of every channel (alpha {:.3g})", number(m.options, "alpha", 0.5)));
  e.notes.push_back("smoothquant leaves inputs that no norm feeds as they are");
}

}  // namespace

void place_method(Explanation& e, const MethodUse& m, const NetworkSizes& sizes) {
  if (m.name == "smoothquant")
    smoothquant(e, m);
  else if (m.name == "quarot")
    quarot(e, m, sizes);
  else if (m.name == "spinquant" && !m.diffusion)
    spinquant(e, m, sizes);
  else if (m.name == "flatquant" && !m.diffusion)
    flatquant(e, m, sizes);
  else if (m.name == "svdquant")
    svdquant(e, m);
  else if (m.name == "viditq")
    viditq(e, m);
  else if (m.name == "hadanorm")
    hadanorm(e, m);
  else if (m.name != "rtn")
    e.notes.push_back(fmt::format("what {} does to features is not described here; its cost is left out", m.name));
}

void place_shift(Explanation& e, const std::string& shift) {
  if (shift == "none") return;
  for (ExplainedSlot& s : e.slots) {
    // Text that cross-attention reads keeps its mean (docs/quantizers.md).
    if (is_cache(s) || !s.quantized || s.info.rows == SlotRows::context) continue;
    const auto values = static_cast<double>(s.info.features);
    if (shift == "sequence")
      add(&s,
          "mean of every channel over the sequence: taken off before the quantizer, given back as one row behind the "
          "layer",
          Placed::online, "around the slot", 2 * values);
    else
      add(&s,
          "mean of every channel over the calibration set: taken off before the quantizer, given back by the layer's "
          "bias",
          Placed::online, "before the slot", values);
  }
}

}  // namespace stamp
