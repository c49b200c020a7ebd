// What Gemma 2 and Gemma 3 share. Specification models 3.1, 3.4, gemma3.md 1.
#pragma once
#include <string>

#include "models/info/decoder_config.h"

namespace stamp {

DecoderFamily gemma_family();  // without name, summary, vocabulary, context
// attention_bias, the scale of the scores; refuses attention in both directions.
void read_gemma_attention(const ConfigReader& config, DecoderConfig& out);
// A cap that null switches off.
double read_cap(const ConfigReader& config, const std::string& key, double fallback);
// GGUF has no key for the scale: hd^-0.5, and (h / nh)^-0.5 in the largest model of a generation, told by its layers.
double gemma_scale_in_gguf(const DecoderConfig& config, std::int64_t layers_of_largest);

}  // namespace stamp
