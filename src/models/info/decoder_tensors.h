// Where a decoder's tensors lie in a checkpoint, and the check that they are all there with the right shapes.
// Specification models 1.7, 3.2.
#pragma once
#include <string>
#include <vector>

#include "models/info/decoder_config.h"
#include "models/info/slot_info.h"

namespace stamp {

struct LinearTensors {
  const TensorInfo* weight = nullptr;  // out x in
  const TensorInfo* bias = nullptr;    // out, or null
};

struct DecoderLayerTensors {
  const TensorInfo* attention_norm = nullptr;  // h
  LinearTensors q, k, v, o;
  const TensorInfo *q_norm = nullptr, *k_norm = nullptr;  // hd, or null
  const TensorInfo* post_attention_norm = nullptr;        // h, of models with four norms, else null
  const TensorInfo* feed_forward_norm = nullptr;          // h
  LinearTensors gate, up, down;
  const TensorInfo* post_feed_forward_norm = nullptr;  // h, of models with four norms, else null
};

struct DecoderTensors {
  const TensorInfo* embedding = nullptr;  // V x h
  std::vector<DecoderLayerTensors> layers;
  const TensorInfo* final_norm = nullptr;     // h
  const TensorInfo* head = nullptr;           // V x h, null when tied
  const TensorInfo* rope_divisors = nullptr;  // hd / 2, GGUF with llama3 scaling, else null
  std::vector<std::string> ignored;           // in the checkpoint, known to carry nothing for this model
  std::int64_t parameters = 0;                // a tied head counts once
};

// Pointers are into `checkpoint`. One DataError lists what is missing, unexpected or of another shape.
DecoderTensors find_decoder_tensors(const Checkpoint& checkpoint, const DecoderConfig& config);

// The six slots of every layer, in the order in which a pass meets them.
std::vector<SlotInfo> decoder_slots(const DecoderConfig& config);

}  // namespace stamp
