#include "config/schema.h"

#include <algorithm>
#include <cmath>

#include "base/option_info.h"
#include "base/text.h"
#include "config/faults.h"
#include "config/fields.h"

namespace stamp {
namespace {

std::string given_text(const Json& value) {
  if (value.is_string()) return "the text \"" + shortened(value.get<std::string>()) + "\"";
  if (value.is_number_float()) {
    std::string text = number_text(value.get<double>());
    if (text.find_first_of(".en") == std::string::npos) text.append(".0");  // 4 would look like what is allowed
    return text;
  }
  if (value.is_null()) return "nothing";
  if (value.is_array()) return "a list";
  if (value.is_object()) return "a map";
  return value.dump();
}

// 1000000000, not 1e+09.
std::string limit_text(double limit) {
  constexpr double exact = 1e15;
  return std::floor(limit) == limit && std::fabs(limit) < exact ? std::to_string(static_cast<std::int64_t>(limit))
                                                                : number_text(limit);
}

std::string range_text(const Field& field, const std::string& what) {
  const std::string from = field.above_min ? " above " : " from ";
  if (field.min && field.max) {
    return what + from + limit_text(*field.min) + (field.above_min ? ", up to " : " to ") + limit_text(*field.max);
  }
  if (field.min) return what + (field.above_min ? " above " : ", at least ") + limit_text(*field.min);
  if (field.max) return what + ", at most " + limit_text(*field.max);
  return what;
}

bool within(const Field& field, double value) {
  if (!field.numbers.empty())
    return std::find(field.numbers.begin(), field.numbers.end(), value) != field.numbers.end();
  if (field.min && (field.above_min ? value <= *field.min : value < *field.min)) return false;
  return !(field.max && value > *field.max);
}

bool is_choice(const Field& field, const std::string& value) {
  return std::find(field.choices.begin(), field.choices.end(), value) != field.choices.end();
}

bool looks_like_path(const std::string& value) {
  return value.find_first_of("/.") != std::string::npos;
}

std::string suggestion(const Field& field, const Json& value) {
  if (!value.is_string()) return {};
  std::vector<std::string> candidates = field.choices;
  if (field.automatic) candidates.push_back("auto");
  return did_you_mean(value.get<std::string>(), candidates);
}

bool whole_numbers(const Field& field) {
  return field.type == Field::Type::integer || field.type == Field::Type::count || !field.numbers.empty();
}

// Quotes are the commonest slip of a type, a point the next one.
std::string spelling_hint(const Field& field, const Json& value) {
  if (whole_numbers(field) && value.is_number_float()) {
    const double v = value.get<double>();
    return std::floor(v) == v && within(field, v) ? " (write it as " + limit_text(v) + ")" : "";
  }
  const bool wants_text = field.type == Field::Type::text || field.type == Field::Type::file;
  if (wants_text && (value.is_number() || value.is_boolean())) return " (put it in quotes)";
  const bool wants_number = field.type == Field::Type::integer || field.type == Field::Type::real;
  if (!wants_number || !value.is_string()) return {};
  const std::string text = value.get<std::string>();
  const bool number = !text.empty() && text.find_first_not_of("+-.0123456789eE") == std::string::npos &&
                      text.find_first_of("0123456789") != std::string::npos;
  return number ? " (write it without quotes)" : "";
}

std::string check_names(const Field& field, const Json& value) {
  const auto answer = [&](const std::string& given, const std::string& hint) {
    return given + "; " + allowed_text(field) + hint;
  };
  if (!value.is_array()) return answer(given_text(value), "");
  if (value.empty()) return answer("an empty list", "");
  std::vector<std::string> seen;
  for (const Json& item : value) {
    if (!item.is_string() || !is_choice(field, item.get<std::string>())) {
      return answer(given_text(item) + " in the list", suggestion(field, item));
    }
    if (std::find(seen.begin(), seen.end(), item.get<std::string>()) != seen.end()) {
      return answer(given_text(item) + " twice", "");
    }
    seen.push_back(item.get<std::string>());
  }
  return {};
}

bool fits(const Field& field, const Json& value) {
  if (field.automatic && value == "auto") return true;
  switch (field.type) {
    case Field::Type::boolean: return value.is_boolean();
    case Field::Type::count:
      return is_share(value) || (value.is_number_integer() && within(field, value.get<double>()));
    case Field::Type::integer: return value.is_number_integer() && within(field, value.get<double>());
    case Field::Type::real:
      return (whole_numbers(field) ? value.is_number_integer() : value.is_number()) &&
             within(field, value.get<double>());
    case Field::Type::text: return value.is_string();
    case Field::Type::file: return value.is_string() && !value.get<std::string>().empty();
    case Field::Type::choice: return value.is_string() && is_choice(field, value.get<std::string>());
    case Field::Type::text_source:
      return value.is_string() &&
             (is_choice(field, value.get<std::string>()) || looks_like_path(value.get<std::string>()));
    case Field::Type::names: return check_names(field, value).empty();
  }
  return false;
}

std::string list_text(const Field& field, const std::string& nothing) {
  return field.choices.empty() ? nothing : join(field.choices, ", ");
}

}  // namespace

std::string allowed_text(const Field& field) {
  std::string text;
  switch (field.type) {
    case Field::Type::boolean: text = "true or false"; break;
    case Field::Type::integer: text = range_text(field, "an integer"); break;
    case Field::Type::count:
      text = range_text(field, "an integer") + ", or a share of the sequence such as s/32";
      break;
    case Field::Type::real:
      text = field.numbers.empty() ? range_text(field, "a number") : "an integer from 2 to 8, or 16 (off)";
      break;
    case Field::Type::text: text = "text"; break;
    case Field::Type::file: text = "a path"; break;
    case Field::Type::choice: text = "one of: " + list_text(field, "(nothing is registered)"); break;
    case Field::Type::text_source:
      text = "a known text (" + list_text(field, "none") + ") or a path (with a / or a .) to UTF-8 text";
      break;
    case Field::Type::names:
      text = "a list of different names out of: ";
      text.append(field.choices.empty() ? "(nothing is registered)" : option::choices_text(field.choices));
      break;
  }
  return field.automatic ? text + ", or auto" : text;
}

std::string check_value(const Field& field, const Json& value) {
  if (fits(field, value)) return {};
  if (field.type == Field::Type::names) return check_names(field, value);
  return given_text(value) + "; " + allowed_text(field) + suggestion(field, value) + spelling_hint(field, value);
}

Schema::Schema(const Catalog& catalog) : catalog_(&catalog), fields_(build_fields(catalog)) {}

std::vector<const Field*> Schema::find(const std::string& path) const {
  std::vector<const Field*> found;
  for (const Field& field : fields_) {
    if (field.path == path) found.push_back(&field);
  }
  return found;
}

bool Schema::is_section(const std::string& path) const {
  const std::string prefix = path + ".";
  for (const Field& field : fields_) {
    if (field.path.compare(0, prefix.size(), prefix) == 0) return true;
  }
  const std::vector<std::string> sections = plugin_sections(*catalog_);  // a method without options is a section too
  return std::find(sections.begin(), sections.end(), path) != sections.end();
}

std::vector<std::string> Schema::children(const std::string& section) const {
  const std::string prefix = section.empty() ? "" : section + ".";
  std::vector<std::string> names;
  const auto add = [&](const std::string& path) {
    if (path.compare(0, prefix.size(), prefix) != 0) return;
    const std::string rest = path.substr(prefix.size());
    const std::string name = rest.substr(0, rest.find('.'));
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  };
  for (const Field& field : fields_) add(field.path);
  for (const std::string& path : plugin_sections(*catalog_)) add(path);
  return names;
}

std::vector<std::string> Schema::paths() const {
  std::vector<std::string> paths;
  for (const Field& field : fields_) {
    if (std::find(paths.begin(), paths.end(), field.path) == paths.end()) paths.push_back(field.path);
  }
  return paths;
}

std::optional<Json> Schema::value(const TrialSpec& spec, const std::string& path) const {
  for (const Field* field : find(path)) {
    if (auto held = field->get(spec)) return held;
  }
  return std::nullopt;
}

}  // namespace stamp
