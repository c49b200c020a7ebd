// From the spellings of tokens back to text, for vocabularies of characters. Specification: models 4.5.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "tokenizer/pattern.h"

namespace stamp {

// Works on a list of texts, one a token at first.
struct DecodeStep {
  enum class Kind {
    replace,    // in each text every match of `pattern` by `text`
    bytes,      // runs of <0xNN> become the text that these bytes are
    fuse,       // one text
    strip,      // up to `left` times `text` (one character) from the left of each text, `right` times from the right
    metaspace,  // `text` becomes a space, and nothing in the first token if `prefixed`
    spaces,     // one text with spaces between
  };
  // What ill-formed bytes become. SentencePiece keeps what is well-formed and writes U+FFFD for each other byte; the
  // tokenizers library writes U+FFFD for every byte of a run that is not well-formed as a whole.
  enum class IllFormed { each_byte, whole_run };
  Kind kind = Kind::fuse;
  std::optional<Pattern> pattern;
  std::string text;
  int left = 0, right = 0;
  bool prefixed = false;
  IllFormed ill_formed = IllFormed::each_byte;
};

std::string decoded(std::vector<std::string> tokens, const std::vector<DecodeStep>& steps);

}  // namespace stamp
