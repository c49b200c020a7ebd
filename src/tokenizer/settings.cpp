#include "tokenizer/settings.h"

#include "base/error.h"
#include "base/sha256.h"
#include "base/text.h"
#include "formats/utf8.h"

namespace stamp {
namespace {

// Lengths before texts, so that no two settings run together into one.
class Digest {
 public:
  void put(std::string_view text) { hash_.update(std::to_string(text.size()) + ':'), hash_.update(text); }
  void put_number(std::int64_t value) { put(std::to_string(value)); }
  std::string hex() { return hash_.hex(); }

 private:
  Sha256 hash_;
};

void put_vocabulary(Digest& digest, const TokenizerSettings& settings) {
  for (const std::string& spelling : settings.spellings) digest.put(spelling);
  digest.put("merges");
  for (const auto& [left, right] : settings.merges) digest.put(left), digest.put(right);
  digest.put("added");
  for (const AddedToken& t : settings.added) {
    digest.put(t.text);
    digest.put_number(t.id);
    for (const bool flag : {t.special, t.normalized, t.single_word, t.strip_left, t.strip_right})
      digest.put_number(flag);
  }
  digest.put("steps");
  for (const SplitStep& step : settings.steps) {
    digest.put(step.pattern.expression());
    digest.put_number(static_cast<int>(step.keep));
    digest.put_number(step.invert);
  }
}

bool only_composes(const TokenizerSettings& settings) {
  for (const NormalizeStep& step : settings.normalize)
    if (step.kind != NormalizeStep::Kind::compose) return false;
  return !settings.metaspace;
}

void put_normalization(Digest& digest, const TokenizerSettings& settings) {
  digest.put("normalize");
  for (const NormalizeStep& step : settings.normalize) {
    digest.put_number(static_cast<int>(step.kind));
    digest.put(step.pattern ? step.pattern->expression() : "");
    digest.put(step.text);
  }
  if (settings.metaspace) {
    digest.put(settings.metaspace->mark);
    digest.put_number(static_cast<int>(settings.metaspace->prepend));
    if (settings.metaspace_step > 0) digest.put_number(static_cast<std::int64_t>(settings.metaspace_step));
  }
}

// What only models over characters have. How ids become text is left out: no number depends on it.
void put_characters(Digest& digest, const TokenizerSettings& settings) {
  digest.put("uses");
  for (const TokenizerSettings::Use use : settings.uses) digest.put_number(static_cast<int>(use));
  digest.put("scores");
  for (const float score : settings.scores) digest.put(number_text(static_cast<double>(score)));
  for (const bool flag : {settings.spaces_first, settings.byte_fallback, settings.fuse_unknown})
    digest.put_number(flag);
  digest.put_number(settings.unknown);
}

}  // namespace

std::string digest_of(const TokenizerSettings& settings) {
  using Model = TokenizerSettings::Model;
  Digest digest;
  digest.put(settings.model == Model::bytes        ? "byte-level BPE 1"
             : settings.model == Model::characters ? "character BPE 1"
             : settings.model == Model::scores     ? "SentencePiece BPE 1"
                                                   : "unigram 1");
  put_vocabulary(digest, settings);
  digest.put_number(!settings.normalize.empty());
  digest.put_number(settings.whole_words);
  digest.put("before");
  for (const std::int32_t id : settings.before) digest.put_number(id);
  digest.put("after");
  for (const std::int32_t id : settings.after) digest.put_number(id);
  if (!only_composes(settings)) put_normalization(digest, settings);
  if (settings.model != Model::bytes) put_characters(digest, settings);
  if (settings.model == Model::unigram) {
    digest.put_number(settings.float_sums);
    for (const std::int32_t id : settings.user_defined) digest.put_number(id);
  }
  if (!settings.end_of_word.empty()) digest.put(settings.end_of_word);
  return digest.hex();
}

std::string kind_of(const TokenizerSettings& settings) {
  using Model = TokenizerSettings::Model;
  if (settings.model == Model::bytes) return "byte-level BPE (" + settings.family + ")";
  const std::string name = settings.model == Model::scores    ? "SentencePiece BPE ("
                           : settings.model == Model::unigram ? "unigram ("
                                                              : "character BPE (";
  return name + settings.family + (settings.byte_fallback ? ", byte fallback)" : ")");
}

void refuse_other_count(const TokenizerSource& source, const std::string& what, std::size_t count,
                        const std::string& where) {
  if (count == source.tokens.size()) return;
  throw DataError(where + ": has " + std::to_string(count) + " " + what + " for " +
                  std::to_string(source.tokens.size()) + " tokens");
}

void refuse_duplicates(const std::vector<std::string>& tokens, const std::string& where) {
  std::unordered_map<std::string_view, std::size_t> seen;
  seen.reserve(tokens.size());
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (tokens[id].empty()) continue;
    const auto [other, fresh] = seen.emplace(tokens[id], id);
    if (!fresh)
      throw DataError(where + ": tokenizer.ggml.tokens has \"" + repaired_utf8(tokens[id].substr(0, 80)) +
                      "\" twice, with the ids " + std::to_string(other->second) + " and " + std::to_string(id));
  }
}

void add_apart(const std::vector<std::int32_t>& types, TokenizerSettings& settings) {
  for (std::size_t id = 0; id < types.size(); ++id) {
    if (types[id] != kUnknown && types[id] != kControl && types[id] != kUserDefined) continue;
    AddedToken token;
    token.text = settings.spellings[id];
    token.id = static_cast<std::int32_t>(id);
    token.special = types[id] != kUserDefined;
    settings.added.push_back(std::move(token));
  }
}

void add_ends(const TokenizerSource& source, const std::string& where, TokenizerSettings& settings) {
  settings.bos = source.bos;
  const auto add = [&](bool wanted, std::int64_t id, const char* name, std::vector<std::int32_t>& side) {
    if (!wanted) return;
    if (id < 0)
      throw DataError(where + ": texts get a token as tokenizer.ggml.add_" + name +
                      "_token (or its default) says, but tokenizer.ggml." + name + "_token_id is missing");
    side.push_back(static_cast<std::int32_t>(id));
  };
  add(source.add_bos, source.bos, "bos", settings.before);
  add(source.add_eos, source.eos, "eos", settings.after);
}

}  // namespace stamp
