#include "engine/cache.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/sha256.h"

namespace stamp {

namespace {

constexpr std::string_view magic = "stamp cache 1\n";
constexpr std::size_t digest_length = 64;

std::string key_text(const std::string& kind, const Json& key) {
  return Json{{"kind", kind}, {"key", key}}.dump();
}

}  // namespace

fs::path ResultCache::path(const std::string& kind, const Json& key) const {
  return folder_ / kind / (sha256_hex(key_text(kind, key)).substr(0, 32) + ".bin");
}

// magic, digest of the rest, newline, key as one line of JSON, newline, value.
std::optional<std::string> ResultCache::load(const std::string& kind, const Json& key, const Warn& warn) const {
  if (folder_.empty()) return std::nullopt;
  const fs::path file = path(kind, key);
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return std::nullopt;
  std::string text;
  try {
    text = read_file(file);
  } catch (const DataError& e) {
    warn(fmt::format("cache entry {} cannot be read and is made again: {}", file.filename().string(), e.what()));
    return std::nullopt;
  }
  const std::string head = key_text(kind, key) + "\n";
  const std::size_t body = magic.size() + digest_length + 1;
  const std::string_view view(text);
  const bool whole = view.size() >= body + head.size() && view.substr(0, magic.size()) == magic &&
                     view[body - 1] == '\n' && view.substr(body, head.size()) == head &&
                     sha256_hex(view.substr(body)) == view.substr(magic.size(), digest_length);
  if (!whole) {
    warn(fmt::format("cache entry {}/{} is damaged and is made again", kind, file.filename().string()));
    return std::nullopt;
  }
  text.erase(0, body + head.size());
  return text;
}

bool ResultCache::store(const std::string& kind, const Json& key, std::string_view value, const Warn& warn) const {
  if (folder_.empty()) return false;
  std::string body = key_text(kind, key) + "\n";
  body.append(value);
  try {
    const fs::path file = path(kind, key);
    make_folder(file.parent_path());
    write_file_atomic(file, std::string(magic) + sha256_hex(body) + "\n" + body);
    return true;
  } catch (const StoreError& e) {
    warn(fmt::format("the cache cannot be written, results are not kept for the next run: {}", e.what()));
    return false;
  }
}

}  // namespace stamp
