// Qwen3 (dense): q and k norms, no biases, head_dim of its own. Specification models 3.1.
#pragma once
#include "models/info/decoder_config.h"

namespace stamp {
DecoderFamily qwen3_family();
}
