// Results of calibration and reference passes, kept between runs in the user's cache folder. An entry's address is the
// digest of its key, and a key names everything that can change the value; the key stands in the file, so that a
// reader can see what an entry was made from. Damaged entries are reported and count as absent.
#pragma once
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/json.h"

namespace stamp {

class ResultCache {
 public:
  using Warn = std::function<void(const std::string&)>;
  // An empty folder: nothing is kept.
  explicit ResultCache(fs::path folder) : folder_(std::move(folder)) {}
  // `kind` is the entry's subfolder and part of its key.
  std::optional<std::string> load(const std::string& kind, const Json& key, const Warn& warn) const;
  // False (and a warning) when it cannot be written: a full disk costs the next run time, not this run its result.
  bool store(const std::string& kind, const Json& key, std::string_view value, const Warn& warn) const;
  fs::path path(const std::string& kind, const Json& key) const;

 private:
  fs::path folder_;
};

// Arrays of numbers as bytes, in this machine's order.
template <class T>
std::string bytes_of(std::span<const T> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}
template <class T>
std::vector<T> values_of(std::string_view bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

}  // namespace stamp
