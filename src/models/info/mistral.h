// Mistral 7B and others of this shape: Llama with a sliding window on every layer. Specification models 3.1.
#pragma once
#include "models/info/decoder_config.h"

namespace stamp {
DecoderFamily mistral_family();
}
