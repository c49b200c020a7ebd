#include "base/plugin.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "base/error.h"
#include "base/option_info.h"
#include "base/text.h"

namespace stamp {
namespace {

const char* name_of_type(OptionInfo::Type type) {
  switch (type) {
    case OptionInfo::Type::boolean: return "true or false";
    case OptionInfo::Type::integer: return "an integer";
    case OptionInfo::Type::real: return "a number";
    case OptionInfo::Type::text: return "text";
    case OptionInfo::Type::choice: return "one of the choices";
    case OptionInfo::Type::count: return "an integer";
  }
  return "a value";
}

std::string allowed(const OptionInfo& option) {
  if (option.type == OptionInfo::Type::choice) return join(option.choices, ", ");
  std::string text = option::is_names(option) ? "a list of different names out of: " : name_of_type(option.type);
  if (option::is_names(option)) text.append(option::choices_text(option.choices));
  if (option.min && option.max)
    text += " from " + number_text(*option.min) + " to " + number_text(*option.max);
  else if (option.min)
    text += ", at least " + number_text(*option.min);
  else if (option.max)
    text += ", at most " + number_text(*option.max);
  if (option.type == OptionInfo::Type::count) text += ", or a share of the sequence such as s/32";
  if (option.fallback.is_null()) text += ", or auto";
  return text;
}

bool whole_number(const Json& value) {
  return value.is_number_integer() ||
         (value.is_number_float() && std::floor(value.get<double>()) == value.get<double>());
}

bool names_fit(const OptionInfo& option, const Json& value) {
  if (!value.is_array() || value.empty()) return false;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const auto known = std::any_of(option.choices.begin(), option.choices.end(),
                                   [&](const std::string& choice) { return value[i] == choice; });
    if (!known || std::find(value.begin(), value.begin() + static_cast<std::ptrdiff_t>(i), value[i]) !=
                      value.begin() + static_cast<std::ptrdiff_t>(i))
      return false;
  }
  return true;
}

bool fits(const OptionInfo& option, const Json& value) {
  switch (option.type) {
    case OptionInfo::Type::boolean: return value.is_boolean();
    case OptionInfo::Type::count:
      if (is_share(value)) return true;
      [[fallthrough]];
    case OptionInfo::Type::integer:
      if (!whole_number(value)) return false;
      break;
    case OptionInfo::Type::real:
      if (!value.is_number()) return false;
      break;
    case OptionInfo::Type::text: return option::is_names(option) ? names_fit(option, value) : value.is_string();
    case OptionInfo::Type::choice:
      if (!value.is_string()) return false;
      for (const std::string& choice : option.choices) {
        if (value.get<std::string>() == choice) return true;
      }
      return false;
  }
  const double number = value.get<double>();
  return !(option.min && number < *option.min) && !(option.max && number > *option.max);
}

const Json& option_value(const Json& options, const std::string& name) {
  const auto found = options.find(name);
  if (found == options.end()) throw std::logic_error("option '" + name + "' was not declared by its plugin");
  return *found;
}

}  // namespace

const char* name_of(PluginKind kind) {
  switch (kind) {
    case PluginKind::architecture: return "architecture";
    case PluginKind::sequence_transform: return "sequence transform";
    case PluginKind::method: return "method";
    case PluginKind::weight_quantizer: return "weight quantizer";
    case PluginKind::allocator: return "allocator";
    case PluginKind::metric: return "metric";
    case PluginKind::text: return "text";
    case PluginKind::task: return "task";
  }
  return "plugin";
}

void Catalog::add(PluginKind kind, PluginInfo info) {
  if (find(kind, info.name) != nullptr) {
    throw std::logic_error(std::string("two plugins of kind ") + name_of(kind) + " are called '" + info.name + "'");
  }
  entries_[kind].push_back(std::move(info));
}

const PluginInfo* Catalog::find(PluginKind kind, const std::string& name) const {
  for (const PluginInfo& info : list(kind)) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

const std::vector<PluginInfo>& Catalog::list(PluginKind kind) const {
  static const std::vector<PluginInfo> none;
  const auto found = entries_.find(kind);
  return found == entries_.end() ? none : found->second;
}

std::vector<std::string> Catalog::names(PluginKind kind) const {
  std::vector<std::string> names;
  for (const PluginInfo& info : list(kind)) names.push_back(info.name);
  return names;
}

double real_option(const Json& options, const std::string& name) {
  return option_value(options, name).get<double>();
}

std::int64_t integer_option(const Json& options, const std::string& name) {
  return static_cast<std::int64_t>(std::llround(option_value(options, name).get<double>()));
}

bool flag_option(const Json& options, const std::string& name) {
  return option_value(options, name).get<bool>();
}

std::string text_option(const Json& options, const std::string& name) {
  return option_value(options, name).get<std::string>();
}

bool is_share(const Json& value) {
  constexpr std::size_t most_digits = 9;
  if (!value.is_string()) return false;
  const std::string& text = value.get_ref<const std::string&>();
  if (!text.starts_with("s/") || text.size() == 2 || text.size() > 2 + most_digits || text[2] == '0') return false;
  return text.find_first_not_of("0123456789", 2) == std::string::npos;
}

std::int64_t count_option(const Json& options, const std::string& name, std::int64_t tokens) {
  const Json& value = option_value(options, name);
  if (!is_share(value)) return integer_option(options, name);
  const double divisor = std::stod(value.get_ref<const std::string&>().substr(2));
  return std::max<std::int64_t>(1, std::llround(static_cast<double>(tokens) / divisor));
}

Json complete_options(const PluginInfo& info, const Json& given, const std::string& where) {
  std::vector<std::string> names, faults;
  for (const OptionInfo& option : info.options) names.push_back(option.name);
  for (const auto& [key, value] : given.items()) {
    const auto known = [&, &key = key] {
      for (const std::string& name : names) {
        if (name == key) return true;
      }
      return false;
    }();
    if (!known) {
      faults.push_back(where + ": " + info.name + " has no option \"" + key + "\"" + did_you_mean(key, names) +
                       (names.empty() ? "; it has none" : "; it has " + join(names, ", ")));
    }
  }
  Json complete = Json::object();
  for (const OptionInfo& option : info.options) {
    const auto found = given.find(option.name);
    if (found == given.end() || found->is_null() || (option.fallback.is_null() && *found == "auto")) {
      complete[option.name] = option.fallback;
      continue;
    }
    if (!fits(option, *found)) {
      faults.push_back(where + ": " + option.name + " is " + found->dump() + "; allowed: " + allowed(option));
      continue;
    }
    complete[option.name] = *found;
  }
  if (!faults.empty()) throw ConfigError(faults);
  return complete;
}

}  // namespace stamp
