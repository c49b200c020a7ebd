// A decoder language model: embedding, blocks, final norm, head and loss, one window at a time, float32.
// Specification models 3.3, 5.1.
#pragma once
#include <deque>
#include <memory>
#include <vector>

#include "models/decoder/decoder_layer.h"
#include "models/linear.h"
#include "models/network.h"

namespace stamp {

// Inputs of a work item: "ids", int64 (tokens). Optional, for tests and benchmarks: "want_logits", int64 (n), positions
// whose logits come back as "logits" (n x V); "without_loss" (anything) leaves the loss away.
// Outputs: "token_nll", float32 (tokens - 1).
class DecoderNetwork : public Network, public ResidualRotation {
 public:
  explicit DecoderNetwork(std::shared_ptr<const DecoderSource> source);

  std::vector<LinearSite*> linear_sites() override;
  std::vector<CacheSite*> cache_sites() override;
  ResidualRotation* residual_rotation() override { return this; }
  void pack() override;
  Outputs run(const WorkItem& item) override;

  // The steps of run(), apart, so that layers can be walked one by one.
  at::Tensor embed(const at::Tensor& ids) const;  // s x h
  const RopeTable& rope(std::int64_t positions);  // of at least that many
  DecoderLayer& layer(std::size_t i) { return layers_[i]; }
  std::size_t layers() const { return layers_.size(); }
  void final_norm(at::Tensor& x) const;                                      // in place
  at::Tensor head(const at::Tensor& x) const;                                // logits of some rows, n x V
  at::Tensor losses(const at::Tensor& normed, const at::Tensor& ids) const;  // s - 1

  // ResidualRotation; decoder_rotation.cpp.
  std::int64_t width() const override { return source_->config().hidden; }
  void fold_norms() override;
  void rotate(std::shared_ptr<const FeatureTransform> q) override;
  std::vector<AttentionBlock> blocks() override;

 private:
  std::shared_ptr<const DecoderSource> source_;
  std::deque<DecoderLayer> layers_;
  at::Tensor final_norm_;
  Linear head_;
  // Applied to embedding rows as they are gathered: a rotated copy of the table would take V x h floats more.
  std::vector<std::shared_ptr<const FeatureTransform>> embedding_rotations_;
  std::vector<float> frequencies_;
  RopeTable rope_;
};

}  // namespace stamp
