// One pre-norm transformer block of a decoder. Specification models 3.3.
#pragma once
#include <ATen/core/Tensor.h>

#include "models/decoder/decoder_loader.h"
#include "models/kernels/elementwise.h"
#include "models/network.h"

namespace stamp {

class DecoderLayer {
 public:
  // Reads layer `index` of the checkpoint; slots[0..5] are its slots in the order of decoder_slots().
  DecoderLayer(const DecoderSource& source, std::int64_t index, const SlotInfo* slots);
  DecoderLayer(const DecoderLayer&) = delete;  // the sites point to the norms
  DecoderLayer& operator=(const DecoderLayer&) = delete;

  // x (s x h), the residual stream, in place. `rope` covers s positions.
  void forward(at::Tensor& x, const RopeTable& rope);
  void pack();

  at::Tensor attention_norm, feed_forward_norm;  // h
  LinearSite qkv, output, gate_up, down;
  CacheSite key, value;

 private:
  const DecoderConfig& config_;
  std::int64_t window_;
};

}  // namespace stamp
