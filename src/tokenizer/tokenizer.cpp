#include "tokenizer/tokenizer.h"

#include "base/error.h"
#include "tokenizer/settings.h"

namespace stamp {

std::unique_ptr<Tokenizer> open_tokenizer(const Checkpoint& checkpoint) {
  TokenizerSource source = tokenizer_source(checkpoint);
  const std::string where = checkpoint.path();
  if (!source.present)
    throw DataError(where + ": has no tokenizer (looked for tokenizer.json or the tokenizer.ggml metadata of GGUF)");
  if (!source.tokenizer_json.is_null())
    return make_tokenizer(settings_from_json(source.tokenizer_json, source, where + "/tokenizer.json"));
  return make_tokenizer(settings_from_gguf(std::move(source), where));
}

}  // namespace stamp
