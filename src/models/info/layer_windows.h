#pragma once
#include "models/info/decoder_config.h"

namespace stamp {

// `layer_types` (transformers 4.5x and later) wins over a family's rule: "full_attention" or "sliding_attention" for
// every layer. `window`: keys of a sliding layer, 0 = the model has none. Does nothing when the key is absent.
void apply_layer_types(const ConfigReader& config, std::int64_t window, DecoderConfig& out);

}  // namespace stamp
