// What a checkpoint class implements besides Checkpoint when it can carry a tokenizer.
#pragma once
#include "formats/checkpoint.h"

namespace stamp {

class TokenizerHolder {
 public:
  virtual ~TokenizerHolder() = default;
  virtual TokenizerSource read_tokenizer() const = 0;
};

}  // namespace stamp
