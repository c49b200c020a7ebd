#include "models/info/end_tokens.h"

#include <algorithm>

#include "base/files.h"
#include "formats/json_text.h"

namespace stamp {
namespace {

void add(std::vector<std::int64_t>& ids, const Json& value) {
  if (value.is_array())
    for (const Json& item : value) add(ids, item);
  else if (value.is_number_integer() && value.get<std::int64_t>() >= 0 &&
           std::find(ids.begin(), ids.end(), value.get<std::int64_t>()) == ids.end())
    ids.push_back(value.get<std::int64_t>());
}

std::vector<std::int64_t> listed(const Json& settings, std::initializer_list<const char*> keys) {
  std::vector<std::int64_t> ids;
  for (const char* key : keys)
    if (const auto found = settings.find(key); found != settings.end()) add(ids, *found);
  return ids;
}

}  // namespace

std::vector<std::int64_t> end_tokens(const Checkpoint& checkpoint) {
  if (checkpoint.format().starts_with("GGUF"))
    return listed(checkpoint.config(),
                  {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"});
  std::error_code none;
  const fs::path settings = fs::path(checkpoint.path()) / "generation_config.json";
  if (fs::is_regular_file(settings, none)) {
    const Json json = parse_json(read_file(settings, 1 << 20), settings.string());
    if (std::vector<std::int64_t> ids = listed(json, {"eos_token_id"}); !ids.empty()) return ids;
  }
  return listed(checkpoint.config(), {"eos_token_id"});
}

}  // namespace stamp
