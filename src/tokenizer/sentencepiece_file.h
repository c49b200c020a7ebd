// SentencePiece's own model file (spiece.model), a protocol buffer. Specification: models 4.6.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/settings.h"

namespace stamp {

struct SentencePieceFile {
  struct Piece {
    std::string text;
    float score = 0;
    std::int64_t type = kNormal;  // the numbers of GGUF's token types 1 to 6, with 4 and 5 meaning the same
  };
  std::vector<Piece> pieces;    // by id
  std::int64_t model_type = 1;  // 1 unigram, 2 BPE, 3 word, 4 character
  bool byte_fallback = false;
  bool space_behind = false;  // treat_whitespace_as_suffix
  std::string charsmap;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};
// DataError: `bytes` is no such message, or ends too early. Unknown fields are skipped.
SentencePieceFile parse_sentencepiece(std::string_view bytes, const std::string& where);

// Rules that are not in the file. The defaults are T5's.
struct SentencePieceRules {
  bool append_end = true;        // "</s>" behind every text, where special tokens are wanted
  std::int64_t extra_ids = 100;  // "<extra_id_99>" .. "<extra_id_0>" behind the pieces
};
// Control pieces spelled out in a text are ordinary text, as in SentencePiece. DataError: not a unigram model, pieces
// that are given twice, no unknown piece, spaces behind words.
TokenizerSettings settings_from_sentencepiece(SentencePieceFile file, const SentencePieceRules& rules,
                                              const std::string& where);

}  // namespace stamp
