#include "base/error.h"
#include "base/text.h"
#include "formats/utf8.h"
#include "tokenizer/byte_level.h"

namespace stamp {
namespace {

// GGUF's token types.
enum : std::int32_t { kUnknown = 2, kControl = 3, kUserDefined = 4 };

struct Family {
  const char* pre;
  const char* same_as;
};
// Names under which converters store the pre-tokenizers of models 4.4.
constexpr Family kFamilies[] = {{"smollm", "smollm"},      {"llama-bpe", "llama-bpe"}, {"llama3", "llama-bpe"},
                                {"llama-v3", "llama-bpe"}, {"qwen2", "qwen2"},         {"deepseek-r1-qwen", "qwen2"},
                                {"gpt-2", "gpt-2"}};

std::string family_of(const std::string& pre, const std::string& where) {
  std::vector<std::string> known;
  for (const Family& family : kFamilies) {
    if (pre == family.pre) return family.same_as;
    known.emplace_back(family.pre);
  }
  throw DataError(where + ": tokenizer.ggml.pre is " + (pre.empty() ? "missing" : "\"" + pre + "\"") +
                  ", and guessing a pre-tokenizer would change every number; supported are " + join(known, ", ") +
                  did_you_mean(pre, known));
}

void add_steps(ByteLevelSettings& settings) {
  const auto isolate = [&](const std::string& expression) {
    settings.steps.push_back({Pattern(expression), SplitStep::Keep::isolated, false});
  };
  if (settings.family == "llama-bpe") {
    settings.whole_words = true;
    isolate(pattern_a());
  } else if (settings.family == "qwen2") {
    settings.nfc = true;
    isolate(pattern_b());
  } else {
    if (settings.family == "smollm") isolate(R"(\p{N})");
    isolate(pattern_c());
  }
}

}  // namespace

ByteLevelSettings settings_from_gguf(TokenizerSource source, const std::string& where) {
  if (source.model != "gpt2")
    throw DataError(where + ": tokenizer.ggml.model is \"" + source.model +
                    "\"; supported is \"gpt2\" (byte-level BPE)" +
                    (source.model == "llama" ? ", not yet SentencePiece" : ""));
  ByteLevelSettings settings;
  settings.family = family_of(source.pre, where);
  if (source.merges.empty()) throw DataError(where + ": has no tokenizer.ggml.merges");
  if (!source.types.empty() && source.types.size() != source.tokens.size())
    throw DataError(where + ": has " + std::to_string(source.types.size()) + " token types for " +
                    std::to_string(source.tokens.size()) + " tokens");
  settings.spellings = std::move(source.tokens);
  settings.merges.reserve(source.merges.size());
  for (const std::string& merge : source.merges) {
    const std::size_t space = merge.find(' ', 1);  // the left part is never empty
    if (space == std::string::npos || space + 1 == merge.size())
      throw DataError(where + ": the merge \"" + repaired_utf8(merge) + "\" is not two parts with a space between");
    settings.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  for (std::size_t id = 0; id < source.types.size(); ++id) {
    const std::int32_t type = source.types[id];
    if (type != kUnknown && type != kControl && type != kUserDefined) continue;
    AddedToken token;
    token.text = settings.spellings[id];
    token.id = static_cast<std::int32_t>(id);
    token.special = type != kUserDefined;
    settings.added.push_back(std::move(token));
  }
  settings.bos = source.bos;
  if (source.add_bos && source.bos >= 0) settings.before.push_back(static_cast<std::int32_t>(source.bos));
  add_steps(settings);
  return settings;
}

}  // namespace stamp
