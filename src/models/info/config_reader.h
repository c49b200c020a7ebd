// Typed reads of config.json and of GGUF metadata that remember what was read: a field that changes the function
// of a model and that nobody looked at is an error, not a silent default (specification models 3.1).
#pragma once
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"

namespace stamp {

class ConfigReader {
 public:
  // `values`: a JSON object that outlives the reader. `place`: file, then keys ("model.gguf: ", "config.json:
  // rope_scaling.").
  ConfigReader(const Json& values, std::string place);

  // Present and not null. Marks the key as read.
  bool has(const std::string& key) const;
  bool is_null(const std::string& key) const;  // present as null: switched off, where absent means the class default
  // Each throws DataError for a value of another type or outside [low, high], and for an absent one without fallback.
  // Integers may be written as 10000.0 (models 1.3).
  std::int64_t integer(const std::string& key, std::optional<std::int64_t> fallback, std::int64_t low = 1,
                       std::int64_t high = std::int64_t{1} << 31) const;
  double real(const std::string& key, std::optional<double> fallback, double low = 0, double high = 1e12) const;
  bool flag(const std::string& key, std::optional<bool> fallback) const;
  std::string text(const std::string& key, std::optional<std::string> fallback) const;
  std::vector<std::string> texts(const std::string& key) const;  // a list of texts
  std::vector<bool> flags(const std::string& key) const;         // a list of booleans
  bool is_list(const std::string& key) const;
  ConfigReader section(const std::string& key) const;  // an object

  // Keys that hold a value and were not read.
  std::vector<std::string> unread() const;
  [[noreturn]] void refuse(const std::string& key, const std::string& given, const std::string& allowed) const;

 private:
  const Json* find(const std::string& key) const;
  const Json* values_;
  std::string place_;
  mutable std::set<std::string> read_;
};

}  // namespace stamp
