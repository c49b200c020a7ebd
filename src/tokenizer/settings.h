// All that a tokenizer is, read from GGUF metadata or tokenizer.json. Specification: models 4.1 to 4.5; gemma3,
// section 4.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/decode.h"
#include "tokenizer/normalize.h"
#include "tokenizer/pattern.h"
#include "tokenizer/split.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/word_model.h"

namespace stamp {

struct TokenizerSettings {
  enum class Model {
    bytes,       // byte-level BPE: spellings in GPT-2's byte characters
    characters,  // a list of merges over characters
    scores,      // SentencePiece: a score for each entry
    unigram,     // SentencePiece's other model: the cut with the largest sum of scores
  };
  enum class Use : std::uint8_t {
    entry,   // can come out of merging
    unused,  // SentencePiece's unused: a step on the way, never left over
    byte,    // stands for one byte
    apart,   // only what is in `added` or `before` gives it
  };
  Model model = Model::bytes;
  std::string family;  // "smollm", "llama-bpe", "tokenizer.json": for kind()
  std::string where;   // file, for messages

  std::vector<std::string> spellings;                       // by id; "" = no such id
  std::vector<Use> uses;                                    // by id; empty: all are entries
  std::vector<std::pair<std::string, std::string>> merges;  // spelled, best first
  std::vector<float> scores;                                // by id
  std::vector<AddedToken> added;

  bool spaces_first = false;  // spaces are spelled before added tokens are cut out, as SentencePiece does
  std::vector<NormalizeStep> normalize;
  std::optional<Metaspace> metaspace;
  std::size_t metaspace_step = 0;  // steps before it
  std::vector<SplitStep> steps;
  bool whole_words = false;  // ignore_merges
  bool byte_fallback = false;
  bool fuse_unknown = false;
  bool float_sums = false;                  // of unigram; see Unigram::Settings
  std::vector<std::int32_t> user_defined;   // of unigram: entries taken wherever they fit
  std::string end_of_word;                  // of bytes: what the last byte of a word is spelled with ("</w>" of CLIP)
  std::int32_t unknown = -1;                // id for what the vocabulary cannot spell; -1: none
  std::vector<DecodeStep> decode;           // of characters and scores
  std::vector<std::int32_t> before, after;  // added to the ids when special tokens are wanted
  std::int64_t bos = -1;
};
std::unique_ptr<Tokenizer> make_tokenizer(TokenizerSettings settings);
std::string digest_of(const TokenizerSettings& settings);
std::string kind_of(const TokenizerSettings& settings);

// The patterns of models 4.4. They match as llama.cpp does: contractions of A and B in both cases of ASCII.
std::string pattern_a();  // Llama 3
std::string pattern_b();  // Qwen 2 and 3
std::string pattern_c();  // GPT-2, and SmolLM2 after its digits

// Sources of settings; DataError names what is damaged or not supported.
TokenizerSettings settings_from_gguf(TokenizerSource source, const std::string& where);  // either of the two below
TokenizerSettings settings_from_merges(TokenizerSource source, const std::string& where);
TokenizerSettings settings_from_scores(TokenizerSource source, const std::string& where);
TokenizerSettings settings_from_json(const Json& tokenizer, const TokenizerSource& source, const std::string& where);

// Parts of reading GGUF metadata.
// GGUF's token types.
enum : std::int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
void refuse_other_count(const TokenizerSource& source, const std::string& what, std::size_t count,
                        const std::string& where);
void refuse_duplicates(const std::vector<std::string>& tokens, const std::string& where);  // empty ones do not count
// Unknown, control and user-defined tokens become added tokens, the first two special ones.
void add_apart(const std::vector<std::int32_t>& types, TokenizerSettings& settings);
// Ids that every text begins and ends with.
void add_ends(const TokenizerSource& source, const std::string& where, TokenizerSettings& settings);

}  // namespace stamp
