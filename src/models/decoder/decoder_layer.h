// One pre-norm transformer block of a decoder. Specification models 3.3.
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
  LinearSite qkv, output, gate_up, down;
  CacheSite key, value;

 private:
  at::Tensor normed_input(const at::Tensor& residual) const;
  at::Tensor attend(at::Tensor pending, const Segments& segments, const RopeTable& rope, KvCache* cache);
  at::Tensor feed_forward_input(at::Tensor& residual, at::Tensor pending, const Segments& segments);
  at::Tensor activate(at::Tensor pending, const Segments& segments);

  const DecoderSource& source_;
  const DecoderConfig& config_;
  std::int64_t index_, window_;
};

}  // namespace stamp
