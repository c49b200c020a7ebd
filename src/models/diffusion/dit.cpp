// DiT: class-conditional. Every block embeds timestep and class by itself and makes its own modulation of them.
// Specification models 11.
#include <algorithm>
#include <optional>

#include "base/error.h"
#include "models/diffusion/diffusion_network.h"
#include "models/kernels/elementwise.h"
#include "models/kernels/image_rows.h"
#include "models/tensors.h"

namespace stamp {
namespace {

constexpr double sinusoid_shift = 1;  // in DiT alone
constexpr float adaptive_norm_eps = 1e-6f;

std::string embedder_prefix(std::int64_t block) {
  return "transformer_blocks." + std::to_string(block) + ".norm1.emb.";
}

class ClassEmbedder {
 public:
  ClassEmbedder(const DiffusionSource& source, std::int64_t block)
      : time_(source, embedder_prefix(block) + "timestep_embedder", sinusoid_shift),
        table_(source.matrix(embedder_prefix(block) + "class_embedder.embedding_table.weight")) {}
  // numbers: timesteps, then classes, as many as samples each.
  at::Tensor forward(const std::vector<float>& numbers, std::int64_t samples) const {
    at::Tensor out = time_.forward(numbers.data(), samples);
    for (std::int64_t b = 0; b < samples; ++b) {
      const auto row = static_cast<std::int64_t>(numbers[static_cast<std::size_t>(samples + b)]);
      add({view(out).row(b), 1, out.size(1), out.size(1)}, {const_view(table_).row(row), 1, out.size(1), out.size(1)});
    }
    return out;
  }
  // Whether a block's own embedder holds the same values as block 0's, as in the published files.
  static bool same(const DiffusionSource& source, std::int64_t block) {
    for (const char* name :
         {"timestep_embedder.linear_1.weight", "timestep_embedder.linear_1.bias", "timestep_embedder.linear_2.weight",
          "timestep_embedder.linear_2.bias", "class_embedder.embedding_table.weight"})
      if (!source.same(embedder_prefix(0) + name, embedder_prefix(block) + name)) return false;
    return true;
  }

 private:
  NumberEmbedder time_;
  at::Tensor table_;  // classes + 1 x D
};

class DitConditioner : public Conditioner {
 public:
  explicit DitConditioner(const DiffusionSource& source) : Conditioner(source), first_(source, 0) {}
  std::vector<float> numbers(const WorkItem& item, std::int64_t samples) const override {
    std::vector<float> out;
    append(out, item, "timestep", samples);
    const auto given = item.inputs.find("class");
    if (given == item.inputs.end() || given->second.scalar_type() != at::kLong || given->second.numel() != samples)
      throw std::logic_error("DiT needs \"class\", int64, one a sample");
    const at::Tensor classes = given->second.contiguous();
    for (std::int64_t b = 0; b < samples; ++b) {
      const std::int64_t value = classes.const_data_ptr<std::int64_t>()[b];
      if (value < 0 || value > config_.classes)
        throw DataError("class " + std::to_string(value) + " of sample " + std::to_string(b) +
                        " is not one of the model's; allowed: 0 to " + std::to_string(config_.classes - 1) + ", and " +
                        std::to_string(config_.classes) + " for no class");
      out.push_back(static_cast<float>(value));  // exact: tables are smaller than 2^24
    }
    return out;
  }

 protected:
  Time make(const std::vector<float>& numbers, std::int64_t samples) const override {
    return {first_.forward(numbers, samples), {}};
  }

 private:
  ClassEmbedder first_;
};

class DitBlock : public DiffusionBlock {
 public:
  DitBlock(const DiffusionSource& source, std::int64_t index) : DiffusionBlock(source, index), index_(index) {}

 protected:
  void load_own() override {
    modulation_ = Affine(source_, prefix_ + "norm1.linear");
    // The comparison reads 11 MB of the largest published model: once is enough for blocks that come and go.
    if (!shares_) shares_ = ClassEmbedder::same(source_, index_);
    if (!*shares_) own_.emplace(source_, index_);
  }
  void release_own() override {
    modulation_ = {};
    own_.reset();
  }
  float eps_of_attention() const override { return adaptive_norm_eps; }
  at::Tensor modulation(const WorkItem& item, const ImageShape& shape, Conditioner& conditioner) const override {
    at::Tensor embedded = own_ ? own_->forward(conditioner.numbers(item, shape.samples), shape.samples)
                               : contiguous_copy(conditioner.time(item, shape.samples).embedded);
    silu(view(embedded));
    return modulation_.forward(embedded);
  }

 private:
  std::int64_t index_;
  Affine modulation_;
  std::optional<bool> shares_;
  std::optional<ClassEmbedder> own_;
};

class Dit : public DiffusionNetwork {
 public:
  Dit(const std::shared_ptr<const DiffusionSource>& source, bool load_blocks)
      : DiffusionNetwork(source, std::make_unique<DitConditioner>(*source), "pos_embed.proj", "proj_out_2"),
        modulation_(*source, "proj_out_1") {
    for (std::int64_t i = 0; i < config().layers; ++i) add(std::make_unique<DitBlock>(*source_, i), load_blocks);
  }

 protected:
  // Of block 0's embedder.
  at::Tensor last_modulation(const at::Tensor& embedded) const override {
    at::Tensor active = contiguous_copy(embedded);
    silu(view(active));
    return modulation_.forward(active);
  }

 private:
  Affine modulation_;
};

}  // namespace

std::unique_ptr<DiffusionNetwork> make_dit(std::shared_ptr<const DiffusionSource> source, bool load_blocks) {
  return std::make_unique<Dit>(source, load_blocks);
}

}  // namespace stamp
