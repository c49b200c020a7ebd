#include "models/info/config_reader.h"

#include <cmath>

#include "base/error.h"
#include "base/text.h"

namespace stamp {

ConfigReader::ConfigReader(const Json& values, std::string place) : values_(&values), place_(std::move(place)) {
  if (!values.is_object()) throw DataError(place_ + "the model's configuration is not a JSON object");
}

const Json* ConfigReader::find(const std::string& key) const {
  read_.insert(key);
  const auto it = values_->find(key);
  return it == values_->end() || it->is_null() ? nullptr : &*it;
}

bool ConfigReader::has(const std::string& key) const {
  return find(key) != nullptr;
}

bool ConfigReader::is_null(const std::string& key) const {
  const auto it = values_->find(key);
  return it != values_->end() && it->is_null();
}

void ConfigReader::refuse(const std::string& key, const std::string& given, const std::string& allowed) const {
  throw DataError(place_ + key + ": " + given + "; allowed: " + allowed);
}

namespace {
std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}
}  // namespace

std::int64_t ConfigReader::integer(const std::string& key, std::optional<std::int64_t> fallback, std::int64_t low,
                                   std::int64_t high) const {
  const Json* value = find(key);
  if (!value) {
    if (fallback) return *fallback;
    refuse(key, "missing", "an integer");
  }
  const std::string allowed = "an integer from " + std::to_string(low) + " to " + std::to_string(high);
  if (!value->is_number()) refuse(key, shown(*value), allowed);
  const double real_value = value->get<double>();
  if (!(real_value >= static_cast<double>(low) && real_value <= static_cast<double>(high)) ||
      real_value != std::floor(real_value))
    refuse(key, shown(*value), allowed);
  return static_cast<std::int64_t>(real_value);
}

double ConfigReader::real(const std::string& key, std::optional<double> fallback, double low, double high) const {
  const Json* value = find(key);
  if (!value) {
    if (fallback) return *fallback;
    refuse(key, "missing", "a number");
  }
  const std::string allowed = "a number above " + number_text(low) + " and up to " + number_text(high);
  if (!value->is_number()) refuse(key, shown(*value), allowed);
  const double real_value = value->get<double>();
  if (!(real_value > low && real_value <= high)) refuse(key, shown(*value), allowed);
  return real_value;
}

bool ConfigReader::flag(const std::string& key, std::optional<bool> fallback) const {
  const Json* value = find(key);
  if (!value) {
    if (fallback) return *fallback;
    refuse(key, "missing", "true or false");
  }
  if (!value->is_boolean()) refuse(key, shown(*value), "true or false");
  return value->get<bool>();
}

std::string ConfigReader::text(const std::string& key, std::optional<std::string> fallback) const {
  const Json* value = find(key);
  if (!value) {
    if (fallback) return *fallback;
    refuse(key, "missing", "a text");
  }
  if (!value->is_string()) refuse(key, shown(*value), "a text");
  return value->get<std::string>();
}

std::vector<std::string> ConfigReader::texts(const std::string& key) const {
  const Json* value = find(key);
  if (!value || !value->is_array()) refuse(key, value ? shown(*value) : "missing", "a list of texts");
  std::vector<std::string> out;
  for (const Json& entry : *value) {
    if (!entry.is_string()) refuse(key, shown(entry), "a list of texts");
    out.push_back(entry.get<std::string>());
  }
  return out;
}

std::vector<bool> ConfigReader::flags(const std::string& key) const {
  const Json* value = find(key);
  if (!value || !value->is_array()) refuse(key, value ? shown(*value) : "missing", "a list of true and false");
  std::vector<bool> out;
  for (const Json& entry : *value) {
    if (!entry.is_boolean()) refuse(key, shown(entry), "a list of true and false");
    out.push_back(entry.get<bool>());
  }
  return out;
}

bool ConfigReader::is_list(const std::string& key) const {
  const Json* value = find(key);
  return value && value->is_array();
}

ConfigReader ConfigReader::section(const std::string& key) const {
  const Json* value = find(key);
  if (!value || !value->is_object()) refuse(key, value ? shown(*value) : "missing", "an object");
  return ConfigReader(*value, place_ + key + ".");
}

std::vector<std::string> ConfigReader::unread() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : values_->items())
    if (!value.is_null() && !read_.count(key)) keys.push_back(key);
  return keys;
}

}  // namespace stamp
