// Typed reads of a scheduler_config.json that remember what was read: a field that nobody looked at is an error, not a
// silent default. Specification models 1.3, 14.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"

namespace stamp {

class SchedulerSettings {
 public:
  // `config`: outlives the settings. DataError where it is no object.
  SchedulerSettings(const Json& config, std::string place);

  // Missing and null mean `fallback`. DataError for another type, and for what is not allowed.
  std::int64_t integer(const std::string& key, std::int64_t fallback, std::int64_t low, std::int64_t high) const;
  double real(const std::string& key, double fallback, double low, double high) const;  // inclusive, finite
  bool flag(const std::string& key, bool fallback) const;
  std::string choice(const std::string& key, const std::string& fallback,
                     std::initializer_list<const char*> allowed) const;
  // Fields that are off in the supported form: false, null or zero. `why` ends the sentence "... is not supported: ".
  void require_off(const std::string& key, const std::string& why) const;
  void require_null(const std::string& key, const std::string& why) const;  // where zero means something
  // Fields without effect in the supported form.
  void ignore(std::initializer_list<const char*> keys) const;
  // DataError for the first field with a value that nobody read; names with a leading underscore are diffusers' own.
  void refuse_unread() const;
  [[noreturn]] void refuse(const std::string& key, const std::string& given, const std::string& allowed) const;

 private:
  const Json* find(const std::string& key) const;
  const Json* config_;
  std::string place_;
  mutable std::set<std::string> read_;
};

}  // namespace stamp
