// WordPiece with the rules of bert-base-uncased: what BERT and the text encoders made from it read. J. Devlin et al.
// 2018, arXiv 1810.04805; the rules are those of transformers' BertTokenizer (BasicTokenizer, then WordpieceTokenizer).
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace stamp {

// `vocabulary`: vocab.txt, a token a line, its id the number of the line from 0. `more`: special tokens besides BERT's
// five, with the next ids where the file lacks them.
//
// Texts lose control characters, are put in lower case and lose their accents (form D without marks); white space,
// punctuation and every ideograph part words. A word is spelled by the longest entry at each place, "##" before those
// that do not begin it; where that fails, or beyond 100 characters, it is [UNK]. encode() with `special` puts [CLS] and
// [SEP] around the text and reads special tokens spelled out in it. Nothing is refused or padded.
//
// DataError: no such file, not UTF-8, an empty line, a token twice, one of [UNK], [CLS] and [SEP] missing.
std::unique_ptr<Tokenizer> open_wordpiece(const std::filesystem::path& vocabulary,
                                          const std::vector<std::string>& more = {});

}  // namespace stamp
