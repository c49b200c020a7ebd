// What every method does to the slots of a block: the one place that follows src/methods. Shared by the sources of
// this folder only.
#pragma once
#include "explain/explain.h"

namespace stamp {

// Sizes of the network, from its description.
struct NetworkSizes {
  std::int64_t hidden = 0, feed_forward = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0;
  std::int64_t cross_width = 0, tokens = 0, grid_height = 0, grid_width = 0;
};

struct MethodUse {
  std::string name;
  Json options;  // of the method, complete
  bool keys_quantized = true;
  bool diffusion = false;
};

// Adds the method's steps to the slots, and what it does once to Explanation::network and notes.
void place_method(Explanation& explanation, const MethodUse& method, const NetworkSizes& sizes);
// Adds the trial's activations.shift to the quantized linear inputs.
void place_shift(Explanation& explanation, const std::string& shift);

}  // namespace stamp
