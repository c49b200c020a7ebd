// PixArt: one modulation for all blocks, shifted by a table in each; text in cross-attention. Specification models 10.
#include "models/diffusion/diffusion_network.h"
#include "models/diffusion/modulation_table.h"
#include "models/kernels/image_rows.h"
#include "models/tensors.h"

namespace stamp {
namespace {

class PixArtConditioner : public Conditioner {
 public:
  explicit PixArtConditioner(const DiffusionSource& source)
      : Conditioner(source),
        time_(source, "adaln_single.emb.timestep_embedder", 0),
        modulation_(source, "adaln_single.linear") {
    if (!config_.micro_conditions) return;
    resolution_ = NumberEmbedder(source, "adaln_single.emb.resolution_embedder", 0);
    aspect_ratio_ = NumberEmbedder(source, "adaln_single.emb.aspect_ratio_embedder", 0);
  }
  std::vector<float> numbers(const WorkItem& item, std::int64_t samples) const override {
    std::vector<float> out;
    append(out, item, "timestep", samples);
    if (config_.micro_conditions) {
      append(out, item, "resolution", 2 * samples);
      append(out, item, "aspect_ratio", samples);
    }
    return out;
  }

 protected:
  Time make(const std::vector<float>& numbers, std::int64_t samples) const override {
    Time out;
    out.embedded = time_.forward(numbers.data(), samples);
    if (config_.micro_conditions) add_sizes(numbers.data() + samples, samples, view(out.embedded));
    at::Tensor active = contiguous_copy(out.embedded);
    silu(view(active));
    out.modulation = modulation_.forward(active);
    return out;
  }

 private:
  // A third of the channels each: height, width, aspect ratio.
  void add_sizes(const float* sizes, std::int64_t samples, MatrixView to) const {
    const at::Tensor sides = resolution_.forward(sizes, 2 * samples);
    const at::Tensor ratios = aspect_ratio_.forward(sizes + 2 * samples, samples);
    const std::int64_t third = sides.size(1);
    for (std::int64_t b = 0; b < samples; ++b)
      for (std::int64_t j = 0; j < third; ++j) {
        to.row(b)[j] += const_view(sides).row(2 * b)[j];
        to.row(b)[third + j] += const_view(sides).row(2 * b + 1)[j];
        to.row(b)[2 * third + j] += const_view(ratios).row(b)[j];
      }
  }

  NumberEmbedder time_, resolution_, aspect_ratio_;
  Affine modulation_;
};

class PixArtBlock : public DiffusionBlock {
 public:
  using DiffusionBlock::DiffusionBlock;

 protected:
  void load_own() override { table_ = source_.matrix(prefix_ + "scale_shift_table"); }
  void release_own() override { table_.reset(); }
  at::Tensor modulation(const WorkItem& item, const ImageShape& shape, Conditioner& conditioner) const override {
    return add_table(table_, conditioner.time(item, shape.samples).modulation);
  }

 private:
  at::Tensor table_;  // 6 x D
};

class PixArt : public DiffusionNetwork {
 public:
  PixArt(const std::shared_ptr<const DiffusionSource>& source, bool load_blocks)
      : DiffusionNetwork(source, std::make_unique<PixArtConditioner>(*source), "pos_embed.proj", "proj_out"),
        table_(source->matrix("scale_shift_table")) {
    for (std::int64_t i = 0; i < config().layers; ++i) add(std::make_unique<PixArtBlock>(*source_, i), load_blocks);
  }

 protected:
  at::Tensor last_modulation(const at::Tensor& embedded) const override { return add_to_every(table_, embedded); }

 private:
  at::Tensor table_;  // 2 x D
};

}  // namespace

std::unique_ptr<DiffusionNetwork> make_pixart(std::shared_ptr<const DiffusionSource> source, bool load_blocks) {
  return std::make_unique<PixArt>(source, load_blocks);
}

}  // namespace stamp
