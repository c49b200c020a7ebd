// Gemma 3, text: four norms a layer, q and k norms, five sliding layers to a full one, each kind with its own RoPE.
// Specification gemma3.md.
#pragma once
#include "models/info/decoder_config.h"

namespace stamp {
DecoderFamily gemma3_family();
}
