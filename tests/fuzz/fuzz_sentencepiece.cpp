// Any bytes as spiece.model: a tokenizer whose ids decode, or a DataError; nothing else. The last 32 bytes are also the
// text to encode.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "tokenizer/sentencepiece_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::string text =
      "a small \uff21cat e\u0301 \u2460\u2461 \xff" + std::string(all.substr(size - std::min<std::size_t>(size, 32)));
  try {
    const auto tokenizer = stamp::make_tokenizer(
        stamp::settings_from_sentencepiece(stamp::parse_sentencepiece(all, "spiece.model"), {}, "spiece.model"));
    for (const bool special : {false, true}) tokenizer->decode(tokenizer->encode(text, special));
  } catch (const stamp::DataError&) {
  }
  return 0;
}
