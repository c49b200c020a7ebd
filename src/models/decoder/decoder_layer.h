// One pre-norm transformer block of a decoder. Specification models 3.3, 3.4, gemma3.md 2.
#pragma once
#include <ATen/core/Tensor.h>

#include "models/decoder/decoder_loader.h"
#include "models/kernels/elementwise.h"
#include "models/network.h"

namespace stamp {

class DecoderLayer {
 public:
  // Layer `index` of the checkpoint, without weights; slots[0..5] are its slots in the order of decoder_slots().
  DecoderLayer(const DecoderSource& source, std::int64_t index, const SlotInfo* slots);
  DecoderLayer(const DecoderLayer&) = delete;  // the sites point to the norms
  DecoderLayer& operator=(const DecoderLayer&) = delete;

  void load();     // weights and norms as the checkpoint has them
  void release();  // frees them
  bool loaded() const { return attention_norm.defined(); }
  void pack();

  std::vector<LinearSite*> sites() { return {&qkv, &output, &gate_up, &down}; }
  // Step k of Network::step. `rope` covers every position of the segments.
  void step(std::size_t k, BlockState& state, const Segments& segments, const RopeTable& rope, KvCache* cache);

  at::Tensor attention_norm, feed_forward_norm;  // h; undefined while released
  // Undefined also where the family has none.
  at::Tensor q_norm, k_norm;                               // hd
  at::Tensor post_attention_norm, post_feed_forward_norm;  // h, on what is added to the residual stream
  // Of the residual stream, applied to what the post norms give; empty in models without them, whose writers carry the
  // rotation.
  std::vector<std::shared_ptr<const FeatureTransform>> branch_rotations;
  LinearSite qkv, output, gate_up, down;
  CacheSite key, value;

 private:
  at::Tensor normed_input(const at::Tensor& residual) const;
  at::Tensor attend(at::Tensor pending, const Segments& segments, const RopeTable& rope, KvCache* cache);
  at::Tensor feed_forward_input(at::Tensor& residual, at::Tensor pending, const Segments& segments);
  at::Tensor activate(at::Tensor pending, const Segments& segments);
  void add_feed_forward(at::Tensor& residual, at::Tensor pending, const Segments& segments);
  // In place; nothing without a weight.
  void norm_heads(at::Tensor& x, const at::Tensor& weight) const;  // every head by itself
  void norm_branch(at::Tensor& x, const at::Tensor& weight) const;

  const DecoderSource& source_;
  const DecoderConfig& config_;
  std::int64_t index_, window_;
};

}  // namespace stamp
