// Diffusion transformers as networks: patches of a latent in, the model's output (noise or velocity) out, float32.
// Specification models 9 to 12.
#pragma once
#include <deque>
#include <memory>
#include <vector>

#include "models/diffusion/diffusion_block.h"
#include "models/network.h"

namespace stamp {

// Inputs of a work item, B samples:
//   "latent"        float32, B x C x H x W; H and W multiples of the patch
//   "timestep"      float32, B; in the units of the model: a pipeline has applied config().timestep_scale
//   "class"         int64, B (DiT); config().classes is the null class
//   "text"          float32, B x T x caption_channels (PixArt, SANA)
//   "text_mask"     int64, B x T, 0 = padding; may be absent
//   "resolution"    float32, B x 2, height and width in pixels, and "aspect_ratio", float32, B (PixArt with
//                   micro-conditions)
//   "guidance"      float32, B (SANA-Sprint), times config().guidance_scale already
// Rows: B * N x D, N = H / p * W / p tokens a sample, one segment a sample whose width is W / p.
// Output: "noise", B x Cout x H x W, with the channels of the variance where the model has them.
// TrialError ("non_finite") for a latent with NaN or infinities; DataError for what the files or the request got wrong;
// std::logic_error for an input that is missing or of another type.
class DiffusionNetwork : public Network {
 public:
  std::vector<LinearSite*> linear_sites() override;
  std::vector<CacheSite*> cache_sites() override { return {}; }
  std::size_t blocks() const override { return blocks_.size(); }
  std::vector<LinearSite*> block_sites(std::size_t block) override { return blocks_[block]->sites(); }
  void load(std::size_t block) override { blocks_[block]->load(); }
  void release(std::size_t block) override { blocks_[block]->release(); }
  using Network::pack;
  void pack(std::size_t block) override { blocks_[block]->pack(); }
  void pack_ends() override;
  at::Tensor enter(const WorkItem& item) override;
  void step(std::size_t block, std::size_t k, BlockState& state, const WorkItem& item) override;
  Outputs leave(at::Tensor rows, const WorkItem& item) override;

  const DiffusionConfig& config() const { return source_->config(); }
  Conditioner& conditioner() { return *conditioner_; }

 protected:
  DiffusionNetwork(std::shared_ptr<const DiffusionSource> source, std::unique_ptr<Conditioner> conditioner,
                   const std::string& patch, const std::string& projection);
  void add(std::unique_ptr<DiffusionBlock> block, bool load);
  // Shift and scale of the last norm, samples x 2 D.
  virtual at::Tensor last_modulation(const at::Tensor& embedded) const = 0;

  std::shared_ptr<const DiffusionSource> source_;

 private:
  const std::vector<float>& positions(const ImageShape& shape);

  std::unique_ptr<Conditioner> conditioner_;
  std::vector<std::unique_ptr<DiffusionBlock>> blocks_;
  Affine patch_, projection_;
  std::vector<float> positions_;  // of the grid seen last
  std::int64_t position_rows_ = 0, position_columns_ = 0;
};

// load_blocks = false: load() brings the blocks one at a time.
std::unique_ptr<DiffusionNetwork> make_diffusion_network(std::shared_ptr<const DiffusionSource> source,
                                                         bool load_blocks = true);
// The three kinds; make_diffusion_network() picks.
std::unique_ptr<DiffusionNetwork> make_dit(std::shared_ptr<const DiffusionSource> source, bool load_blocks);
std::unique_ptr<DiffusionNetwork> make_pixart(std::shared_ptr<const DiffusionSource> source, bool load_blocks);
std::unique_ptr<DiffusionNetwork> make_sana(std::shared_ptr<const DiffusionSource> source, bool load_blocks);

}  // namespace stamp
