// SentencePiece models in GGUF metadata (tokenizer.ggml.model = llama). Specification: gemma3, section 4; models 4.5.
#include <cmath>

#include "base/error.h"
#include "formats/utf8.h"
#include "tokenizer/settings.h"

namespace stamp {
namespace {

using Use = TokenizerSettings::Use;

std::string token_in_words(const TokenizerSource& source, std::size_t id) {
  return "token " + std::to_string(id) + " (\"" + repaired_utf8(source.tokens[id].substr(0, 80)) + "\")";
}

Use use_of(const TokenizerSource& source, std::size_t id, const std::string& where) {
  switch (source.types[id]) {
    case kNormal: return Use::entry;
    case kUnused: return Use::unused;
    case kByte: return Use::byte;
    case kUnknown:
    case kControl:
    case kUserDefined: return Use::apart;
    default:
      throw DataError(where + ": tokenizer.ggml.token_type of " + token_in_words(source, id) +
                      " is not one of 1 (normal), 2 (unknown), 3 (control), 4 (user-defined), 5 (unused), 6 (byte)");
  }
}

void check_token(const TokenizerSource& source, std::size_t id, Use use, const std::string& where) {
  if (!is_utf8(source.tokens[id])) throw DataError(where + ": " + token_in_words(source, id) + " is not UTF-8");
  const int byte = byte_of_spelling(source.tokens[id]);
  if (use == Use::byte && (byte < 0 || source.tokens[id] != spelling_of_byte(byte)))
    throw DataError(where + ": " + token_in_words(source, id) + " is of type byte, but not spelled <0xNN>");
  if ((use == Use::entry || use == Use::unused) && !std::isfinite(source.scores[id]))
    throw DataError(where + ": the score of " + token_in_words(source, id) + " is not a finite number");
}

// Bytes of well-formed text that have no token. ASCII characters that are tokens themselves need no byte token.
std::vector<int> missing_bytes(const TokenizerSource& source, const std::vector<Use>& uses) {
  std::vector<bool> there(256, false);
  for (const int never : {0xC0, 0xC1}) there[static_cast<std::size_t>(never)] = true;
  for (std::size_t b = 0xF5; b < 256; ++b) there[b] = true;
  for (std::size_t id = 0; id < uses.size(); ++id) {
    const std::string& text = source.tokens[id];
    if (uses[id] == Use::byte) there[static_cast<std::size_t>(byte_of_spelling(text))] = true;
    if (uses[id] == Use::entry && text.size() == 1) there[static_cast<unsigned char>(text[0])] = true;
  }
  std::vector<int> missing;
  for (int b = 0; b < 256; ++b)
    if (!there[static_cast<std::size_t>(b)]) missing.push_back(b);
  return missing;
}

// The unknown token that may come out of a text: only of a vocabulary without bytes.
std::int32_t unknown_of(const TokenizerSource& source) {
  if (source.unknown >= 0) return static_cast<std::int32_t>(source.unknown);
  for (std::size_t id = 0; id < source.types.size(); ++id)
    if (source.types[id] == kUnknown) return static_cast<std::int32_t>(id);
  return -1;
}

void set_fallback(const TokenizerSource& source, TokenizerSettings& settings) {
  for (const Use use : settings.uses) settings.byte_fallback = settings.byte_fallback || use == Use::byte;
  if (settings.byte_fallback) {
    const std::vector<int> missing = missing_bytes(source, settings.uses);
    if (missing.empty()) return;
    std::string message = settings.where + ": the tokenizer has no token for the byte ";
    message += spelling_of_byte(missing.front());
    if (missing.size() > 1) message += " and " + std::to_string(missing.size() - 1) + " others";
    throw DataError(message + "; a vocabulary has a token for every byte or for none");
  }
  settings.unknown = unknown_of(source);
  settings.fuse_unknown = true;  // SentencePiece gives one for neighbours
  if (settings.unknown < 0)
    throw DataError(settings.where +
                    ": the tokenizer has neither byte tokens nor an unknown token, so most texts cannot be encoded");
}

DecodeStep decode_step(DecodeStep::Kind kind, std::string_view text = "") {
  DecodeStep step;
  step.kind = kind;
  step.text = std::string(text);
  return step;
}

std::vector<DecodeStep> decode_steps(bool space_prefix) {
  std::vector<DecodeStep> steps;
  steps.push_back(decode_step(DecodeStep::Kind::replace, " "));
  steps.back().pattern = Pattern::literal(kSpaceMark);
  steps.push_back(decode_step(DecodeStep::Kind::bytes));
  steps.push_back(decode_step(DecodeStep::Kind::fuse));
  if (space_prefix) {
    steps.push_back(decode_step(DecodeStep::Kind::strip, " "));
    steps.back().left = 1;
  }
  return steps;
}

}  // namespace

TokenizerSettings settings_from_scores(TokenizerSource source, const std::string& where) {
  for (const auto& [what, count] :
       {std::pair("scores", source.scores.size()), std::pair("token types", source.types.size())})
    refuse_other_count(source, what, count, where);
  if (source.tokens.empty()) throw DataError(where + ": tokenizer.ggml.tokens is empty");
  refuse_duplicates(source.tokens, where);
  TokenizerSettings settings;
  settings.model = TokenizerSettings::Model::scores;
  settings.where = where;
  settings.family = "scores";
  for (std::size_t id = 0; id < source.tokens.size(); ++id) {
    settings.uses.push_back(use_of(source, id, where));
    check_token(source, id, settings.uses.back(), where);
  }
  set_fallback(source, settings);
  settings.spellings = std::move(source.tokens);
  settings.scores = std::move(source.scores);
  add_apart(source.types, settings);
  add_ends(source, where, settings);
  settings.spaces_first = true;
  if (source.add_space_prefix) {
    NormalizeStep prefix;
    prefix.kind = NormalizeStep::Kind::prepend;
    prefix.text = std::string(kSpaceMark);
    settings.normalize.push_back(std::move(prefix));
  }
  settings.decode = decode_steps(source.add_space_prefix);
  return settings;
}

}  // namespace stamp
