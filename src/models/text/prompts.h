// Prompts as the text encoders of image models take them. Specification: models 7, 8, 12.5, 15.1.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace stamp {

using TokenIds = std::vector<std::int32_t>;

// Lower case, without white space at the ends: all of PixArt's caption cleaning that is done here. What the pipelines'
// cleaner takes out besides (HTML, addresses, punctuation of the set #®•©™&@·º½¾¿¡§~()[]{}|\/*) stays in.
std::string plain_caption(std::string_view text);

// Ids with the tokenizer's own special tokens, at most `most` of them: of a longer text the beginning, and the last
// token
// ("</s>", "<|endoftext|>"). No padding. For T5 (300 tokens) and CLIP (77).
TokenIds prompt_ids(const Tokenizer& tokenizer, std::string_view text, std::int64_t most);

// SANA's instruction, which its pipeline puts before every prompt. It is not part of this program: `path` is a text
// file that scripts/sana_instruction.py writes. DataError: not there, or not the text whose SHA-256 is known.
std::string sana_instruction(const std::filesystem::path& path);

// What Gemma reads for SANA, and which of its rows the denoiser gets: row 0 and those from `first_kept` on.
struct SanaPrompt {
  TokenIds ids;
  std::int64_t first_kept = 1;
};
// `instruction` "": the prompt alone, as for negative prompts. `most`: rows that the denoiser takes (300). The prompt
// is made plain, the instruction is left as it is.
SanaPrompt sana_prompt(const Tokenizer& tokenizer, const std::string& instruction, std::string_view text,
                       std::int64_t most);

}  // namespace stamp
