#include "schedulers/settings.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/text.h"

namespace stamp {
namespace {

std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

}  // namespace

SchedulerSettings::SchedulerSettings(const Json& config, std::string place)
    : config_(&config), place_(std::move(place)) {
  if (!config.is_object()) throw DataError(place_ + ": the scheduler's configuration is not a JSON object");
}

const Json* SchedulerSettings::find(const std::string& key) const {
  read_.insert(key);
  const auto it = config_->find(key);
  return it == config_->end() || it->is_null() ? nullptr : &*it;
}

void SchedulerSettings::refuse(const std::string& key, const std::string& given, const std::string& allowed) const {
  throw DataError(place_ + ": " + key + ": " + given + "; allowed: " + allowed);
}

std::int64_t SchedulerSettings::integer(const std::string& key, std::int64_t fallback, std::int64_t low,
                                        std::int64_t high) const {
  const Json* value = find(key);
  if (!value) return fallback;
  const std::string allowed = "an integer from " + std::to_string(low) + " to " + std::to_string(high);
  if (!value->is_number()) refuse(key, shown(*value), allowed);
  const double number = value->get<double>();
  if (!(number >= static_cast<double>(low) && number <= static_cast<double>(high)) || number != std::floor(number))
    refuse(key, shown(*value), allowed);
  return static_cast<std::int64_t>(number);
}

double SchedulerSettings::real(const std::string& key, double fallback, double low, double high) const {
  const Json* value = find(key);
  if (!value) return fallback;
  const std::string allowed = "a number from " + number_text(low) + " to " + number_text(high);
  if (!value->is_number()) refuse(key, shown(*value), allowed);
  const double number = value->get<double>();
  if (!(number >= low && number <= high)) refuse(key, shown(*value), allowed);
  return number;
}

bool SchedulerSettings::flag(const std::string& key, bool fallback) const {
  const Json* value = find(key);
  if (!value) return fallback;
  if (!value->is_boolean()) refuse(key, shown(*value), "true or false");
  return value->get<bool>();
}

std::string SchedulerSettings::choice(const std::string& key, const std::string& fallback,
                                      std::initializer_list<const char*> allowed) const {
  const Json* value = find(key);
  const std::vector<std::string> words(allowed.begin(), allowed.end());
  // The class's default may itself be unsupported, so it is checked as a written one is.
  const Json given = value ? *value : Json(fallback);
  if (given.is_string() && std::find(words.begin(), words.end(), given.get<std::string>()) != words.end())
    return given.get<std::string>();
  const std::string hint = given.is_string() ? did_you_mean(given.get<std::string>(), words) : "";
  refuse(key, shown(given) + (value ? "" : " (the class's default)") + hint, join(words, ", "));
}

void SchedulerSettings::require_off(const std::string& key, const std::string& why) const {
  const Json* value = find(key);
  if (!value || *value == false || (value->is_number() && value->get<double>() == 0)) return;
  refuse(key, shown(*value) + " is not supported: " + why, "false, null");
}

void SchedulerSettings::require_null(const std::string& key, const std::string& why) const {
  if (const Json* value = find(key)) refuse(key, shown(*value) + " is not supported: " + why, "null");
}

void SchedulerSettings::ignore(std::initializer_list<const char*> keys) const {
  read_.insert(keys.begin(), keys.end());
}

void SchedulerSettings::refuse_unread() const {
  for (const auto& [key, value] : config_->items()) {
    if (value.is_null() || key.rfind('_', 0) == 0 || read_.count(key)) continue;
    const std::vector<std::string> known(read_.begin(), read_.end());
    throw DataError(place_ + ": " + key + " is no known field of this scheduler" + did_you_mean(key, known));
  }
}

}  // namespace stamp
