// SANA: linear self-attention, cross-attention, and a feed-forward part whose middle is a convolution on the grid.
// Specification models 12.
#include "models/diffusion/diffusion_network.h"
#include "models/diffusion/modulation_table.h"
#include "models/kernels/image_rows.h"
#include "models/tensors.h"

namespace stamp {
namespace {

class SanaConditioner : public Conditioner {
 public:
  explicit SanaConditioner(const DiffusionSource& source)
      : Conditioner(source),
        time_(source, config_.guidance ? "time_embed.timestep_embedder" : "time_embed.emb.timestep_embedder", 0),
        modulation_(source, "time_embed.linear") {
    if (config_.guidance) guidance_ = NumberEmbedder(source, "time_embed.guidance_embedder", 0);
  }
  std::vector<float> numbers(const WorkItem& item, std::int64_t samples) const override {
    std::vector<float> out;
    append(out, item, "timestep", samples);
    if (config_.guidance) append(out, item, "guidance", samples);
    return out;
  }

 protected:
  Time make(const std::vector<float>& numbers, std::int64_t samples) const override {
    Time out;
    out.embedded = time_.forward(numbers.data(), samples);
    if (config_.guidance) out.embedded = add_table(guidance_.forward(numbers.data() + samples, samples), out.embedded);
    at::Tensor active = contiguous_copy(out.embedded);
    silu(view(active));
    out.modulation = modulation_.forward(active);
    return out;
  }

 private:
  NumberEmbedder time_, guidance_;
  Affine modulation_;
};

class SanaBlock : public DiffusionBlock {
 public:
  using DiffusionBlock::DiffusionBlock;

 protected:
  void load_own() override {
    table_ = source_.matrix(prefix_ + "scale_shift_table");
    // Tap by tap: one token's channels lie side by side, so that a tap is a product of whole rows.
    const at::Tensor stored = source_.matrix(prefix_ + "ff.conv_depth.weight");
    const std::int64_t channels = stored.size(0), taps = stored.size(1);
    depth_weight_ = fresh_matrix(taps, channels);
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t t = 0; t < taps; ++t) view(depth_weight_).row(t)[c] = const_view(stored).row(c)[t];
    depth_bias_ = source_.vector(prefix_ + "ff.conv_depth.bias");
  }
  void release_own() override {
    for (at::Tensor* tensor : {&table_, &depth_weight_, &depth_bias_}) tensor->reset();
  }
  at::Tensor modulation(const WorkItem& item, const ImageShape& shape, Conditioner& conditioner) const override {
    return add_table(table_, conditioner.time(item, shape.samples).modulation);
  }
  void attend(at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const ImageShape& shape) const override {
    const std::int64_t n = shape.tokens();
    const auto sample = [n](ConstMatrixView m, std::int64_t b) {
      return ConstMatrixView{m.row(b * n), n, m.cols, m.stride};
    };
    for (std::int64_t b = 0; b < shape.samples; ++b) {
      const MatrixView all = view(q);
      const MatrixView rows{all.row(b * n), n, all.cols, all.stride};
      linear_attention(rows, sample(const_view(k), b), sample(const_view(v), b), config_.head_dim, rows);
    }
  }
  at::Tensor activate(at::Tensor u, const ImageShape& shape) const override {
    silu(view(u));
    const std::int64_t n = shape.tokens();
    at::Tensor out = fresh_matrix(u.size(0), config_.feed_forward);
    for (std::int64_t b = 0; b < shape.samples; ++b) {
      const ConstMatrixView from = const_view(u);
      const MatrixView to = view(out);
      depthwise_gate({from.row(b * n), n, from.cols, from.stride}, shape.columns, depth_weight_.const_data_ptr<float>(),
                     depth_bias_.const_data_ptr<float>(), {to.row(b * n), n, to.cols, to.stride});
    }
    return out;
  }

 private:
  at::Tensor table_;         // 6 x D
  at::Tensor depth_weight_;  // 9 x 2 feed_forward
  at::Tensor depth_bias_;    // 2 feed_forward
};

class Sana : public DiffusionNetwork {
 public:
  Sana(const std::shared_ptr<const DiffusionSource>& source, bool load_blocks)
      : DiffusionNetwork(source, std::make_unique<SanaConditioner>(*source), "patch_embed.proj", "proj_out"),
        table_(source->matrix("scale_shift_table")) {
    for (std::int64_t i = 0; i < config().layers; ++i) add(std::make_unique<SanaBlock>(*source_, i), load_blocks);
  }

 protected:
  at::Tensor last_modulation(const at::Tensor& embedded) const override { return add_to_every(table_, embedded); }

 private:
  at::Tensor table_;  // 2 x D
};

}  // namespace

std::unique_ptr<DiffusionNetwork> make_sana(std::shared_ptr<const DiffusionSource> source, bool load_blocks) {
  return std::make_unique<Sana>(source, load_blocks);
}

}  // namespace stamp
