// Tokenizers in a folder of their own, as the pipelines of image models have them. Specification: models 1.2, 4.6, 4.7.
#pragma once
#include <memory>
#include <string>

#include "tokenizer/tokenizer.h"

namespace stamp {

// What `folder` holds, the first of: spiece.model (T5's SentencePiece unigram, "</s>" appended, 100 extra ids),
// tokenizer.json, vocab.json with merges.txt (CLIP's byte-level BPE). DataError: none of them, or damaged.
std::unique_ptr<Tokenizer> open_tokenizer_folder(const std::string& folder);

}  // namespace stamp
