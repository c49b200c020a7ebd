#include "base/option_info.h"

#include "base/text.h"

namespace stamp::option {

std::string choices_text(const std::vector<std::string>& choices) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    const std::size_t slash = choices[i].rfind('/');
    std::size_t last = i;
    if (slash != std::string::npos && choices[i].substr(slash) == "/1") {
      const std::string stem = choices[i].substr(0, slash + 1);
      while (last + 1 < choices.size() && choices[last + 1] == stem + std::to_string(last - i + 2)) ++last;
    }
    parts.push_back(choices[i]);
    if (last > i) parts.back().append(" to ").append(choices[last]);
    i = last;
  }
  return join(parts, ", ");
}

}  // namespace stamp::option
