#include "eval/loss_metrics.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "eval/interval.h"

namespace stamp {

double checked_mean(std::span<const float> losses, const std::string& metric, std::int64_t item) {
  double sum = 0;
  for (const float loss : losses) sum += static_cast<double>(loss);
  const double mean = sum / static_cast<double>(losses.size());
  if (!std::isfinite(mean))
    throw TrialError("nan_metric", fmt::format("{}: the mean loss of item {} is {}", metric, item, mean));
  return mean;
}

std::vector<Metric> loss_metrics(const std::vector<double>& means, const Metric& like, const std::string& prefix) {
  Metric nll = like;
  nll.name = prefix + "nll";
  nll.value = mean_of(means);
  nll.unit = "nats";
  nll.items = means;
  if (const auto interval = mean_interval(means)) {
    nll.low = interval->low;
    nll.high = interval->high;
  }
  // The interval of the mean loss carries over through exp, which is monotone. Items stay losses: their differences
  // are what a paired comparison averages.
  Metric perplexity = nll;
  perplexity.name = prefix + "perplexity";
  perplexity.unit = "";
  perplexity.value = std::exp(nll.value);
  if (!std::isfinite(perplexity.value))
    throw TrialError("nan_metric",
                     fmt::format("{}: exp of the mean loss {} is not finite", perplexity.name, nll.value));
  if (nll.low && nll.high) {
    perplexity.low = std::exp(*nll.low);
    perplexity.high = std::exp(*nll.high);
  }
  return {perplexity, nll};
}

}  // namespace stamp
