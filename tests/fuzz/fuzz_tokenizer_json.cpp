// Any bytes as tokenizer.json: a tokenizer whose ids decode, or a DataError; nothing else. A zero byte ends the file;
// what follows it is the text to encode.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "formats/json_text.h"
#include "tokenizer/settings.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(all.find('\0'), all.size());
  std::string_view text = "It's 1234  caf\xc3\xa9\n\xff <s>";
  if (end < all.size()) text = all.substr(end + 1, 256);
  try {
    const stamp::Json json = stamp::parse_json(all.substr(0, end), "tokenizer.json");
    const auto tokenizer =
        stamp::make_tokenizer(stamp::settings_from_json(json, stamp::TokenizerSource(), "tokenizer.json"));
    for (const bool special : {false, true}) tokenizer->decode(tokenizer->encode(text, special));
  } catch (const stamp::DataError&) {
  }
  return 0;
}
