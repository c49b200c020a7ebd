// The tensors and slots of diffusion_config.h.
#include <map>

#include "base/error.h"
#include "base/text.h"
#include "formats/dtype.h"
#include "models/info/diffusion_config.h"

namespace stamp {
namespace {

using Shape = std::vector<std::int64_t>;

constexpr std::int64_t sinusoid = 256;  // channels of every embedded number

std::string block_prefix(std::int64_t block) {
  return "transformer_blocks." + std::to_string(block) + ".";
}

class List {
 public:
  explicit List(const DiffusionConfig& config) : c_(config), d_(config.width()) {}

  std::vector<ExpectedTensor> all() {
    const bool dit = c_.kind == DiffusionKind::dit, pixart = c_.kind == DiffusionKind::pixart;
    const std::string patch = c_.kind == DiffusionKind::sana ? "patch_embed.proj" : "pos_embed.proj";
    add(patch + ".weight", {d_, c_.in_channels, c_.patch_size, c_.patch_size});
    add(patch + ".bias", {d_});
    if (pixart) {
      embedder("adaln_single.emb.timestep_embedder", d_);
      if (c_.micro_conditions) {
        embedder("adaln_single.emb.resolution_embedder", d_ / 3);
        embedder("adaln_single.emb.aspect_ratio_embedder", d_ / 3);
      }
      linear("adaln_single.linear", 6 * d_, d_, true);
    } else if (!dit) {
      embedder(c_.guidance ? "time_embed.timestep_embedder" : "time_embed.emb.timestep_embedder", d_);
      if (c_.guidance) embedder("time_embed.guidance_embedder", d_);
      linear("time_embed.linear", 6 * d_, d_, true);
    }
    if (c_.has_text()) {
      linear("caption_projection.linear_1", d_, c_.caption_channels, true);
      linear("caption_projection.linear_2", d_, d_, true);
    }
    if (c_.kind == DiffusionKind::sana) add("caption_norm.weight", {d_});
    for (std::int64_t i = 0; i < c_.layers; ++i) block(block_prefix(i));
    const std::int64_t pixels = c_.patch_size * c_.patch_size * c_.out_channels;
    if (dit) {
      linear("proj_out_1", 2 * d_, d_, true);
      linear("proj_out_2", pixels, d_, true);
    } else {
      add("scale_shift_table", {2, d_});
      linear("proj_out", pixels, d_, true);
    }
    return std::move(out_);
  }

 private:
  void add(const std::string& name, Shape shape) { out_.push_back({name, std::move(shape)}); }
  void linear(const std::string& stem, std::int64_t out, std::int64_t in, bool bias) {
    add(stem + ".weight", {out, in});
    if (bias) add(stem + ".bias", {out});
  }
  void embedder(const std::string& stem, std::int64_t width) {
    linear(stem + ".linear_1", width, sinusoid, true);
    linear(stem + ".linear_2", width, width, true);
  }
  void attention(const std::string& p, std::int64_t inner, bool bias) {
    for (const char* name : {"to_q", "to_k", "to_v"}) linear(p + name, inner, d_, bias);
    if (c_.qk_norm)
      for (const char* name : {"norm_q.weight", "norm_k.weight"}) add(p + name, {inner});
    linear(p + "to_out.0", d_, inner, true);
  }
  void block(const std::string& p) {
    if (c_.kind == DiffusionKind::dit) {
      embedder(p + "norm1.emb.timestep_embedder", d_);
      add(p + "norm1.emb.class_embedder.embedding_table.weight", {c_.classes + 1, d_});
      linear(p + "norm1.linear", 6 * d_, d_, true);
    } else {
      add(p + "scale_shift_table", {6, d_});
    }
    attention(p + "attn1.", d_, c_.attention_bias);
    if (c_.has_text()) attention(p + "attn2.", c_.cross_width(), c_.kind == DiffusionKind::sana || c_.attention_bias);
    if (c_.kind == DiffusionKind::sana) {
      const std::int64_t both = 2 * c_.feed_forward;
      add(p + "ff.conv_inverted.weight", {both, d_, 1, 1});
      add(p + "ff.conv_inverted.bias", {both});
      add(p + "ff.conv_depth.weight", {both, 1, 3, 3});
      add(p + "ff.conv_depth.bias", {both});
      add(p + "ff.conv_point.weight", {d_, c_.feed_forward, 1, 1});
    } else {
      linear(p + "ff.net.0.proj", c_.feed_forward, d_, true);
      linear(p + "ff.net.2", d_, c_.feed_forward, true);
    }
  }

  const DiffusionConfig& c_;
  const std::int64_t d_;
  std::vector<ExpectedTensor> out_;
};

// The position table is made here; "in." and "out." are inputs and results beside a checkpoint of a test.
bool carries_nothing(const std::string& name) {
  return name == "pos_embed.pos_embed" || name == "patch_embed.pos_embed" || name.rfind("in.", 0) == 0 ||
         name.rfind("out.", 0) == 0;
}

}  // namespace

std::vector<ExpectedTensor> diffusion_tensors(const DiffusionConfig& config) {
  return List(config).all();
}

std::vector<std::string> check_diffusion_tensors(const Checkpoint& checkpoint, const DiffusionConfig& config) {
  // A block has ten tensors or more; a count beyond what the file holds is refused before anything is sized by it.
  if (config.layers > static_cast<std::int64_t>(checkpoint.tensors().size()))
    throw DataError(checkpoint.path() + ": " + std::to_string(config.layers) +
                    " layers are configured, but there are only " + std::to_string(checkpoint.tensors().size()) +
                    " tensors");
  std::map<std::string, Shape> expected;
  for (ExpectedTensor& tensor : diffusion_tensors(config)) expected.emplace(tensor.name, std::move(tensor.shape));
  std::vector<std::string> ignored, unexpected, faults;
  for (const TensorInfo& tensor : checkpoint.tensors()) {
    if (expected.count(tensor.name)) continue;
    (carries_nothing(tensor.name) ? ignored : unexpected).push_back(tensor.name);
  }
  constexpr std::size_t shown = 12;
  for (const auto& [name, shape] : expected) {
    const TensorInfo* tensor = checkpoint.find(name);
    // Names are compared with all others only for lines that are shown.
    if (!tensor)
      faults.push_back("missing tensor " + name + " " + shape_text(shape) +
                       (faults.size() < shown ? did_you_mean(name, unexpected) : ""));
    else if (tensor->shape != shape)
      faults.push_back(name + " has shape " + shape_text(tensor->shape) + ", expected " + shape_text(shape));
    else if (const std::string fault = fault_of_values(*tensor); !fault.empty())
      faults.push_back(std::string(name).append(" ").append(fault));
  }
  for (const std::string& name : unexpected)
    faults.push_back("unexpected tensor " + name + " " + shape_text(checkpoint.at(name).shape));
  if (faults.empty()) return ignored;
  const std::size_t more = faults.size() > shown ? faults.size() - shown : 0;
  faults.resize(faults.size() - more);
  if (more > 0) faults.push_back("and " + std::to_string(more) + " more");
  throw DataError(checkpoint.path() + ": the tensors do not fit " + config.architecture +
                  " with this configuration: " + join(faults, "; "));
}

std::vector<SlotInfo> diffusion_block_slots(const DiffusionConfig& c, std::int64_t block) {
  std::vector<SlotInfo> slots;
  const std::string p = block_prefix(block);
  const auto add = [&](std::vector<std::string> readers, std::int64_t features, SlotRows rows = SlotRows::grid) {
    for (std::string& reader : readers) reader = p + reader;
    SlotInfo slot;
    slot.name = readers.front() + ".input";
    slot.features = features;
    slot.layer = static_cast<int>(block);
    slot.linears = std::move(readers);
    slot.rows = rows;
    slots.push_back(std::move(slot));
  };
  add({"attn1.to_q", "attn1.to_k", "attn1.to_v"}, c.width());
  add({"attn1.to_out.0"}, c.width());
  if (c.has_text()) {
    add({"attn2.to_k", "attn2.to_v"}, c.width(), SlotRows::context);
    add({"attn2.to_q"}, c.width());
    add({"attn2.to_out.0"}, c.cross_width());
  }
  const bool sana = c.kind == DiffusionKind::sana;
  add({sana ? "ff.conv_inverted" : "ff.net.0.proj"}, c.width());
  add({sana ? "ff.conv_point" : "ff.net.2"}, c.feed_forward);
  return slots;
}

std::vector<SlotInfo> diffusion_slots(const DiffusionConfig& config) {
  std::vector<SlotInfo> slots;
  for (std::int64_t i = 0; i < config.layers; ++i)
    for (SlotInfo& slot : diffusion_block_slots(config, i)) slots.push_back(std::move(slot));
  return slots;
}

bool quantized_by_default(const SlotInfo& slot) {
  return slot.rows != SlotRows::context;
}

}  // namespace stamp
