// One block of a diffusion transformer, site by site: self-attention and feed-forward behind modulated norms, and
// between them, in models with text, cross-attention on the residual stream as it is. Specification models 10.3, 11,
// 12.3.
#pragma once
#include <ATen/core/Tensor.h>

#include <deque>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "models/diffusion/conditions.h"
#include "models/network.h"

namespace stamp {

// A site of such a block. Where a modulated norm makes its input, a per-channel scale goes into the modulation.
class ModulatedSite : public LinearSite {
 public:
  ModulatedSite(SlotInfo info, bool modulated) : LinearSite(std::move(info)), modulated_(modulated) {}
  bool fold_input_scale(std::span<const double> factors) override;
  // What 1 + scale and shift are divided by, d numbers; empty = nothing.
  const std::vector<double>& divisors() const { return divisors_; }
  void restore() { divisors_.clear(); }

 private:
  bool modulated_;
  std::vector<double> divisors_;
};

class DiffusionBlock {
 public:
  // Block `index` of the checkpoint, without weights.
  DiffusionBlock(const DiffusionSource& source, std::int64_t index);
  virtual ~DiffusionBlock() = default;
  DiffusionBlock(const DiffusionBlock&) = delete;
  DiffusionBlock& operator=(const DiffusionBlock&) = delete;

  void load();  // nothing where it is loaded already
  void release();
  void pack();
  std::vector<LinearSite*> sites();  // in the order of diffusion_block_slots()
  // Step k of Network::step. Sites: self-attention's input and output; with text the context's (keys and values), the
  // query's and the output of cross-attention; then the two layers of the feed-forward part.
  void step(std::size_t k, BlockState& state, const WorkItem& item, Conditioner& conditioner);

 protected:
  virtual void load_own() = 0;  // what is not a site's
  virtual void release_own() = 0;
  // Samples x 6 D: shift, scale, gate of self-attention, then of the feed-forward part. A tensor of the caller's own.
  virtual at::Tensor modulation(const WorkItem& item, const ImageShape& shape, Conditioner& conditioner) const = 0;
  virtual float eps_of_attention() const { return static_cast<float>(config_.norm_eps); }
  // q is replaced by what the rows attended to: softmax attention among the tokens of a sample, unless overridden.
  virtual void attend(at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const ImageShape& shape) const;
  // Between the two layers of the feed-forward part: tanh GELU, unless overridden.
  virtual at::Tensor activate(at::Tensor u, const ImageShape& shape) const;

  const DiffusionSource& source_;
  const DiffusionConfig& config_;
  const std::string prefix_;  // "transformer_blocks.3."

 private:
  // modulation() as the norms take it: 1 + scale instead of scale, and both with what is folded into them.
  at::Tensor folded_modulation(const WorkItem& item, const ImageShape& shape, Conditioner& conditioner) const;
  at::Tensor modulated(const at::Tensor& residual, const at::Tensor& modulation, std::int64_t part, float eps,
                       const ImageShape& shape) const;
  void add_branch(at::Tensor& residual, const at::Tensor& branch, const at::Tensor& modulation, std::int64_t part,
                  const ImageShape& shape) const;
  void cross_attend(at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const ImageShape& shape,
                    const Segments& text) const;

  std::deque<ModulatedSite> sites_;
  at::Tensor self_norms_[2], cross_norms_[2];  // of q and k over all heads; undefined without qk_norm
  bool loaded_ = false;
};

}  // namespace stamp
