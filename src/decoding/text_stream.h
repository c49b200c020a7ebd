// Token ids as text while they come: what has been handed out is never taken back, and no character is cut.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace stamp {

class TextStream {
 public:
  // `context`: ids that stand before, whose text is not handed out. How a token is spelled can depend on its neighbour
  // (SentencePiece drops the space that begins a text).
  TextStream(const Tokenizer& tokenizer, std::vector<std::int32_t> context);
  // The text that is certain with this token: all of it but a character whose last bytes are still to come.
  std::string push(std::int32_t id);
  std::string finish();  // what was held back, U+FFFD for a character that never became whole

 private:
  std::string behind(bool all);
  const Tokenizer& tokenizer_;
  std::vector<std::int32_t> ids_;
  std::size_t given_;  // bytes of decode(ids_)
};

}  // namespace stamp
