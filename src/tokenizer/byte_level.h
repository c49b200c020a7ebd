// Byte-level BPE: cut out added tokens, normalize, split into words, merge bytes. Specification: models 4.1 to 4.4.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/pattern.h"
#include "tokenizer/tokenizer.h"

namespace stamp {

// One step of the pre-tokenizer. Every piece of the step before is split on its own.
struct SplitStep {
  enum class Keep { isolated, removed, with_previous };  // what becomes of a match
  Pattern pattern;
  Keep keep = Keep::isolated;
  bool invert = false;  // what lies between matches counts as the match
};

struct ByteLevelSettings {
  std::string family;                                       // "smollm", "llama-bpe", "tokenizer.json": for kind()
  std::vector<std::string> spellings;                       // by id; "" = no such id
  std::vector<std::pair<std::string, std::string>> merges;  // spelled, best first
  std::vector<AddedToken> added;
  std::vector<SplitStep> steps;
  bool nfc = false;                         // Unicode normalization form C before splitting
  bool whole_words = false;                 // ignore_merges
  std::vector<std::int32_t> before, after;  // added to the ids when special tokens are wanted
  std::int64_t bos = -1;
};
std::unique_ptr<Tokenizer> byte_level_tokenizer(ByteLevelSettings settings);

// The patterns of models 4.4. They match as llama.cpp does: contractions of A and B in both cases of ASCII.
std::string pattern_a();  // Llama 3
std::string pattern_b();  // Qwen 2
std::string pattern_c();  // GPT-2, and SmolLM2 after its digits

// Sources of settings; DataError names what is not supported.
ByteLevelSettings settings_from_gguf(TokenizerSource source, const std::string& where);
ByteLevelSettings settings_from_json(const Json& tokenizer, const TokenizerSource& source, const std::string& where);

}  // namespace stamp
