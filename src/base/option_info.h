// One line for one option of a plugin. Torch-free, for the info() of headers.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/plugin.h"

namespace stamp::option {

inline OptionInfo any(std::string name, OptionInfo::Type type, Json fallback, std::string help) {
  OptionInfo o;
  o.name = std::move(name);
  o.type = type;
  o.fallback = std::move(fallback);
  o.help = std::move(help);
  return o;
}
inline OptionInfo flag(std::string name, bool fallback, std::string help) {
  return any(std::move(name), OptionInfo::Type::boolean, fallback, std::move(help));
}
inline OptionInfo choice(std::string name, std::string fallback, std::vector<std::string> choices, std::string help) {
  OptionInfo o = any(std::move(name), OptionInfo::Type::choice, std::move(fallback), std::move(help));
  o.choices = std::move(choices);
  return o;
}
inline OptionInfo real(std::string name, double fallback, double min, double max, std::string help) {
  OptionInfo o = any(std::move(name), OptionInfo::Type::real, fallback, std::move(help));
  o.min = min;
  o.max = max;
  return o;
}
// No upper end where `max` is empty.
inline OptionInfo integer(std::string name, std::int64_t fallback, double min, std::optional<double> max,
                          std::string help) {
  OptionInfo o = any(std::move(name), OptionInfo::Type::integer, fallback, std::move(help));
  o.min = min;
  o.max = max;
  return o;
}
// A list of different names out of `choices`, which is what a text with choices is. `auto`, the default, means what the
// plugin says it does.
inline OptionInfo names(std::string name, std::vector<std::string> choices, std::string help) {
  OptionInfo o = any(std::move(name), OptionInfo::Type::text, nullptr, std::move(help));
  o.choices = std::move(choices);
  return o;
}
inline bool is_names(const OptionInfo& o) {
  return o.type == OptionInfo::Type::text && !o.choices.empty();
}
// "identity, haar, haar/1 to haar/20, dct": of names that count up, the first and the last.
std::string choices_text(const std::vector<std::string>& choices);

}  // namespace stamp::option
