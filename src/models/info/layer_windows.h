#pragma once
#include "models/info/decoder_config.h"

namespace stamp {

// `layer_types` (transformers 4.5x and later) wins over a family's rule: "full_attention" or "sliding_attention" for
// every layer. `window`: keys of a sliding layer, 0 = the model has none. Does nothing when the key is absent.
void apply_layer_types(const ConfigReader& config, std::int64_t window, DecoderConfig& out);

// Qwen's rule: with use_sliding_window the layers from max_window_layers (28) on slide; then layer_types.
void read_upper_windows(const ConfigReader& config, DecoderConfig& out);

// Gemma's rule: all layers but every `period`-th slide.
void slide_all_but_every(std::int64_t period, std::int64_t window, DecoderConfig& out);

}  // namespace stamp
