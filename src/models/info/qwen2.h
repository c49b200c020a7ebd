// Qwen2 and Qwen2.5: biases on q, k, v; sliding window on the upper layers when switched on. Specification models 3.1.
#pragma once
#include "models/info/decoder_config.h"

namespace stamp {
DecoderFamily qwen2_family();
}
