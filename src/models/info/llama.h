// Llama 2, Llama 3.x, SmolLM2 and others of this shape. Specification models 3.1.
#pragma once
#include "models/info/decoder_config.h"

namespace stamp {
DecoderFamily llama_family();
}
