// Token ids that end a generated text. Specification models 3.7.
#pragma once
#include <cstdint>
#include <vector>

#include "formats/checkpoint.h"

namespace stamp {

// Hugging Face: eos_token_id (a number or a list) of generation_config.json, else of config.json. GGUF: the ends of
// text, of turn and of message in the tokenizer's metadata. Empty when the checkpoint names none. DataError for a
// generation_config.json that cannot be read.
std::vector<std::int64_t> end_tokens(const Checkpoint& checkpoint);

}  // namespace stamp
