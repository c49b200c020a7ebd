// A decoder language model: embedding, blocks, final norm, head and loss, one window at a time, float32.
// Specification models 3.3, 5.1.
#pragma once
#include <deque>
#include <memory>
#include <vector>

#include "models/decoder/decoder_head.h"
#include "models/decoder/decoder_layer.h"
#include "models/network.h"

namespace stamp {

// Inputs of a work item: "ids", int64 (tokens). "targets", int64 (m x 2), asks for target_logprob and target_greedy
// instead of token_nll. Optional, for tests and benchmarks: "want_logits", int64 (n), positions whose logits come back
// as "logits" (n x V); "without_loss" (anything) leaves the loss away.
class DecoderNetwork : public Network, public ResidualRotation {
 public:
  explicit DecoderNetwork(std::shared_ptr<const DecoderSource> source, bool load_blocks = true);

  std::vector<LinearSite*> linear_sites() override;
  std::vector<CacheSite*> cache_sites() override;
  ResidualRotation* residual_rotation() override { return this; }
  std::size_t blocks() const override { return layers_.size(); }
  std::vector<LinearSite*> block_sites(std::size_t block) override { return layers_[block].sites(); }
  void load(std::size_t block) override { layers_[block].load(); }
  void release(std::size_t block) override { layers_[block].release(); }
  using Network::pack;
  void pack(std::size_t block) override { layers_[block].pack(); }
  void pack_ends() override;
  at::Tensor enter(const WorkItem& item) override;
  void step(std::size_t block, std::size_t k, BlockState& state, const WorkItem& item) override;
  Outputs leave(at::Tensor rows, const WorkItem& item) override;
  void leave_all(const Leaving& leaving) override;

  const DecoderConfig& config() const { return source_->config(); }
  at::Tensor embed(const at::Tensor& ids) const;  // s x h
  // Of a block's layer, for at least that many positions; valid until the next call.
  const RopeTable& rope(std::size_t block, std::int64_t positions);
  DecoderLayer& layer(std::size_t i) { return layers_[i]; }
  void final_norm(at::Tensor& x) const;                                 // in place
  at::Tensor head(const at::Tensor& x) const;                           // logits of some rows, n x V
  at::Tensor head_weight() const { return head_.whole(); }              // V x h, read anew
  const std::vector<float>& rope_frequencies(std::size_t block) const;  // hd / 2

  // ResidualRotation; decoder_rotation.cpp.
  std::int64_t width() const override { return source_->config().hidden; }
  void fold_norms(std::size_t block) override;
  void fold_final_norm() override;
  void rotate(std::size_t block, const WeightRotation& q) override;
  void rotate_ends(std::shared_ptr<const FeatureTransform> q) override;
  AttentionBlock attention(std::size_t block) override;

 private:
  HeadOutputs wanted_of(const WorkItem& item) const;
  bool slides_by_itself(std::size_t block) const;

  std::shared_ptr<const DecoderSource> source_;
  std::deque<DecoderLayer> layers_;
  at::Tensor final_norm_;
  DecoderHead head_;
  bool streamed_ = false;  // blocks and pieces of the head come and go
  // Applied to embedding rows as they are gathered: a rotated copy of the table would take V x h floats more.
  std::vector<std::shared_ptr<const FeatureTransform>> embedding_rotations_;
  struct Rotary {
    std::vector<float> frequencies;
    RopeTable table;
  };
  Rotary rope_, sliding_rope_;  // the second of layers with a window, where they have their own
};

}  // namespace stamp
