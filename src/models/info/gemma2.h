// Gemma 2: four norms a layer, soft caps, even layers slide. Specification models 3.1, 3.4.
#pragma once
#include "models/info/decoder_config.h"

namespace stamp {
DecoderFamily gemma2_family();
}
