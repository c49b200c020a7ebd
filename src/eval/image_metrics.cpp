#include "eval/image_metrics.h"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "eval/interval.h"

namespace stamp {

std::span<const float> values_of_tensor(const at::Tensor& contiguous) {
  return {contiguous.const_data_ptr<float>(), static_cast<std::size_t>(contiguous.numel())};
}

std::vector<Metric> mean_metric(const std::string& name, const std::string& unit, const std::vector<double>& items,
                                const Metric& like) {
  for (std::size_t i = 0; i < items.size(); ++i)
    if (std::isnan(items[i])) throw TrialError("nan_metric", fmt::format("{}: item {} is not a number", name, i));
  if (items.empty() || std::any_of(items.begin(), items.end(), [](double v) { return std::isinf(v); })) return {};
  Metric m = like;
  m.name = name;
  m.unit = unit;
  m.value = mean_of(items);
  m.n = static_cast<std::int64_t>(items.size());
  m.items = items;
  if (const auto interval = mean_interval(items)) {
    m.low = interval->low;
    m.high = interval->high;
  }
  return {m};
}

std::string judge_weights(const std::string& setting, const char* variable, const char* wanted) {
  if (setting != "auto") return setting;
  const char* own = std::getenv(variable);
  if (own != nullptr && *own != '\0') return own;
  throw TrialError("missing", wanted);
}

Image image_of(const at::Tensor& decoded) {
  const at::Tensor flat = decoded.contiguous();
  return from_signed(flat.const_data_ptr<float>(), flat.numel(), flat.size(2), flat.size(3));
}

}  // namespace stamp
