#include "explain/chosen.h"

#include <fmt/format.h>

#include "base/option_info.h"
#include "base/text.h"
#include "explain/cost.h"
#include "transforms/per_slot.h"

namespace stamp {

std::string choice_text(const Json& sequence, std::int64_t tokens, std::int64_t high_tokens, std::int64_t height,
                        std::int64_t width) {
  SequenceTransformRequest request;
  request.tokens = tokens;
  request.high_tokens = high_tokens;
  request.grid_height = height;
  request.grid_width = width;
  request.options = sequence;
  std::vector<std::string> names;
  for (const TransformCandidate& c : transform_candidates(request)) names.push_back(c.label);
  return fmt::format("{}, one of {} at every slot", per_slot_name, option::choices_text(names));
}

std::vector<std::string> chosen_in_layers(const Record& record, const std::string& prefix, const std::string& slot) {
  std::vector<std::string> names;
  for (const auto& [name, transform] : record.transforms.items()) {
    if (!name.starts_with(prefix) || !transform.is_string()) continue;
    const std::size_t dot = name.find('.', prefix.size());
    if (dot != std::string::npos && within_block(name.substr(dot + 1)) == slot)
      names.push_back(transform.get<std::string>());
  }
  return names;
}

std::string chosen_text(const std::vector<std::string>& names) {
  std::vector<std::string> parts;
  for (const auto& [name, n] : by_frequency(names))
    parts.push_back(fmt::format("{} in {}{}", name, n, !parts.empty() ? "" : n == 1 ? " layer" : " layers"));
  return join(parts, ", ");
}

double mean_operations(const std::vector<std::string>& names, std::int64_t tokens, std::int64_t height,
                       std::int64_t width) {
  double sum = 0;
  for (const std::string& name : names) {
    const std::size_t slash = name.find('/');
    const std::string digits = slash == std::string::npos ? "" : name.substr(slash + 1);
    const bool levels =
        !digits.empty() && digits.size() < 3 && digits.find_first_not_of("0123456789") == std::string::npos;
    const double one = left_operations(name.substr(0, slash), tokens, levels ? std::stoll(digits) : 0, height, width);
    if (one < 0) return one;
    sum += one;
  }
  return names.empty() ? -1 : sum / static_cast<double>(names.size());
}

std::string within_block(std::string name) {
  if (name.ends_with(".input")) name.resize(name.size() - 6);
  for (const char* prefix : {"layers.0.", "transformer_blocks.0."})
    if (name.starts_with(prefix)) return name.substr(std::string(prefix).size());
  return name;
}

}  // namespace stamp
