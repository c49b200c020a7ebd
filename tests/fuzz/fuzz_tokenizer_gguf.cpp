// Any SentencePiece metadata of GGUF: a tokenizer whose ids decode, or a DataError; nothing else. The input is JSON,
// {"tokens": [...], "scores": [...], "types": [...], "bos": 1, ...}: mutations then reach the metadata and not the file
// format, which fuzz_gguf covers. A zero byte ends it; what follows is the text to encode.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "formats/json_text.h"
#include "tokenizer/settings.h"

namespace {

// Ids of a file lie in the vocabulary: reading GGUF has checked them.
std::int64_t id_of(const stamp::Json& json, const char* key, std::size_t tokens) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number_integer()) return -1;
  const auto id = found->get<std::int64_t>();
  return id >= 0 && id < static_cast<std::int64_t>(tokens) ? id : -1;
}

bool flag_of(const stamp::Json& json, const char* key, bool otherwise) {
  const auto found = json.find(key);
  return found != json.end() && found->is_boolean() ? found->get<bool>() : otherwise;
}

stamp::TokenizerSource source_of(const stamp::Json& json) {
  stamp::TokenizerSource source;
  source.present = true;
  source.model = std::string("llama");
  if (!json.is_object()) return source;
  const auto each = [&](const char* key, const auto& put) {
    const auto found = json.find(key);
    if (found == json.end() || !found->is_array()) return;
    for (const stamp::Json& item : *found) put(item);
  };
  each("tokens", [&](const stamp::Json& item) {
    source.tokens.push_back(item.is_string() ? item.get<std::string>() : std::string("\xff"));
  });
  each("scores",
       [&](const stamp::Json& item) { source.scores.push_back(item.is_number() ? item.get<float>() : 0.0F); });
  each("types", [&](const stamp::Json& item) {
    source.types.push_back(item.is_number_integer() ? static_cast<std::int32_t>(item.get<std::int64_t>() % 9) : -1);
  });
  source.bos = id_of(json, "bos", source.tokens.size());
  source.eos = id_of(json, "eos", source.tokens.size());
  source.unknown = id_of(json, "unknown", source.tokens.size());
  source.add_bos = flag_of(json, "add_bos", false);
  source.add_eos = flag_of(json, "add_eos", false);
  source.add_space_prefix = flag_of(json, "add_space_prefix", true);
  return source;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(all.find('\0'), all.size());
  std::string_view text = "ab  a\xe2\x96\x81 [X] caf\xc3\xa9\n\xff <s>";
  if (end < all.size()) text = all.substr(end + 1, 256);
  try {
    const auto source = source_of(stamp::parse_json(all.substr(0, end), "metadata"));
    const auto tokenizer = stamp::make_tokenizer(stamp::settings_from_gguf(source, "model.gguf"));
    for (const bool special : {false, true}) tokenizer->decode(tokenizer->encode(text, special));
  } catch (const stamp::DataError&) {
  }
  return 0;
}
