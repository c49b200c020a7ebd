// What is done to the text before it is split into words. Specification: models 4.1, 4.5.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/charsmap.h"
#include "tokenizer/pattern.h"

namespace stamp {

inline constexpr std::string_view kSpaceMark = "\u2581";  // spells a space in SentencePiece vocabularies

struct NormalizeStep {
  enum class Kind {
    compose,        // Unicode normalization form C
    replace,        // every match of `pattern` by `text`
    prepend,        // `text` before anything that is not empty
    lower,          // every character's lower-case form
    strip,          // white space from the ends, those that `text` names: "l", "r" or "lr"
    charsmap,       // `table`, as the tokenizers library applies it
    sentencepiece,  // all of `sentencepiece`
  };
  Kind kind = Kind::compose;
  std::optional<Pattern> pattern;
  std::string text;  // of the last two kinds: what tells one table from another, for digests
  std::shared_ptr<const Charsmap> table = {};
  std::shared_ptr<const SentencePieceNormalizer> sentencepiece = {};
};

std::string lower_case(std::string_view text);  // Unicode's, one character at a time
std::string composed(std::string_view text);    // form C
std::string decomposed(std::string_view text);  // form D
std::string replaced(std::string_view text, Pattern::Search& search, std::string_view by);
std::string replaced(std::string_view text, std::string_view what, std::string_view by);  // `what` is not empty
std::string normalized(std::string_view text, const std::vector<NormalizeStep>& steps);

// The pre-tokenizer that spells spaces.
struct Metaspace {
  enum class Prepend { never, first, always };
  std::string mark{kSpaceMark};
  Prepend prepend = Prepend::always;
  // `at_start`: `text` is the beginning of what the user gave.
  std::string apply(std::string_view text, bool at_start) const;
};

}  // namespace stamp
