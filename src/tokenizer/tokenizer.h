// Text to token ids and back. Specification: models 4.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "formats/checkpoint.h"

namespace stamp {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // Ids of UTF-8 `text`. `special`: prepend what the tokenizer prepends by default (BOS of Llama), and read control
  // tokens spelled out in the text ("<|im_start|>") as those tokens; otherwise they are ordinary text. The same as
  // llama.cpp's tokenize(text, add_bos = special, special = special); docs/tokenizers.md lists the exceptions.
  // User-defined tokens are always recognised. Invalid UTF-8 is replaced by U+FFFD, never refused. DataError names a
  // byte that the text needs and the vocabulary neither has nor has an unknown token for.
  virtual std::vector<std::int32_t> encode(std::string_view text, bool special) const = 0;
  // Well-formed UTF-8, special tokens spelled out. DataError: an id outside the vocabulary.
  virtual std::string decode(const std::vector<std::int32_t>& ids) const = 0;
  virtual std::int64_t vocabulary() const = 0;
  virtual std::int64_t bos() const = 0;  // -1 when there is none
  virtual bool prepends_bos() const = 0;
  virtual std::string kind() const = 0;    // "byte-level BPE (smollm)", "SentencePiece BPE (scores, byte fallback)"
  virtual std::string digest() const = 0;  // SHA-256 of vocabulary, merges and settings
};

// DataError: no tokenizer in the checkpoint, unknown pre-tokenizer or model.
std::unique_ptr<Tokenizer> open_tokenizer(const Checkpoint& checkpoint);

}  // namespace stamp
