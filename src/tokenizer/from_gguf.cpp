#include "base/error.h"
#include "base/text.h"
#include "formats/utf8.h"
#include "tokenizer/settings.h"

namespace stamp {
namespace {

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

void add_steps(TokenizerSettings& settings) {
  const auto isolate = [&](const std::string& expression) {
    settings.steps.push_back({Pattern(expression), SplitStep::Keep::isolated, false});
  };
  if (settings.family == "llama-bpe") {
    settings.whole_words = true;
    isolate(pattern_a());
  } else if (settings.family == "qwen2") {
    settings.normalize.emplace_back();  // form C
    isolate(pattern_b());
  } else {
    if (settings.family == "smollm") isolate(R"(\p{N})");
    isolate(pattern_c());
  }
}

}  // namespace

TokenizerSettings settings_from_gguf(TokenizerSource source, const std::string& where) {
  if (source.model == "gpt2") return settings_from_merges(std::move(source), where);
  if (source.model == "llama") return settings_from_scores(std::move(source), where);
  throw DataError(where + ": tokenizer.ggml.model is \"" + source.model +
                  "\"; supported are \"gpt2\" (byte-level BPE) and \"llama\" (SentencePiece BPE)" +
                  did_you_mean(source.model, {"gpt2", "llama"}));
}

TokenizerSettings settings_from_merges(TokenizerSource source, const std::string& where) {
  TokenizerSettings settings;
  settings.where = where;
  settings.family = family_of(source.pre, where);
  if (source.merges.empty()) throw DataError(where + ": has no tokenizer.ggml.merges");
  if (!source.types.empty()) refuse_other_count(source, "token types", source.types.size(), where);
  refuse_duplicates(source.tokens, where);
  settings.spellings = std::move(source.tokens);
  settings.merges.reserve(source.merges.size());
  for (const std::string& merge : source.merges) {
    const std::size_t space = merge.find(' ', 1);  // the left part is never empty
    if (space == std::string::npos || space + 1 == merge.size())
      throw DataError(where + ": the merge \"" + repaired_utf8(merge) + "\" is not two parts with a space between");
    settings.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  add_apart(source.types, settings);
  add_ends(source, where, settings);
  add_steps(settings);
  return settings;
}

}  // namespace stamp
