#include "eval/perplexity.h"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "eval/interval.h"
#include "models/network.h"
#include "results/record.h"

namespace stamp {

namespace {

class PerplexityEvaluator : public Evaluator {
 public:
  explicit PerplexityEvaluator(EvaluatorContext context) : context_(std::move(context)) {}

  void observe(const WorkItem& item, const Outputs& outputs) override {
    const auto found = outputs.named.find("token_nll");
    if (found == outputs.named.end())
      throw TrialError("unsupported", "perplexity needs token losses; this model gives none");
    const at::Tensor losses = found->second.contiguous();
    const float* values = losses.const_data_ptr<float>();
    double sum = 0;
    for (std::int64_t i = 0; i < losses.numel(); ++i) sum += static_cast<double>(values[i]);
    const double mean = sum / static_cast<double>(losses.numel());
    if (!std::isfinite(mean))
      throw TrialError("nan_metric", fmt::format("perplexity: the mean loss of item {} is {}", item.index, mean));
    means_.push_back(mean);
  }

  std::vector<Metric> finish(const std::vector<SlotResult>&) override {
    if (means_.empty()) return {};
    Metric nll;
    nll.name = "nll";
    nll.value = mean_of(means_);
    nll.unit = "nats";
    nll.over = context_.items;
    nll.n = static_cast<std::int64_t>(means_.size());
    nll.protocol = context_.protocol;
    nll.items = means_;
    if (const auto interval = mean_interval(means_)) {
      nll.low = interval->low;
      nll.high = interval->high;
    }
    // The interval of the mean loss carries over through exp, which is monotone. Items stay losses: their
    // differences are what a paired comparison averages.
    Metric perplexity = nll;
    perplexity.name = "perplexity";
    perplexity.unit = "";
    perplexity.value = std::exp(nll.value);
    if (!std::isfinite(perplexity.value))
      throw TrialError("nan_metric", fmt::format("perplexity: exp of the mean loss {} is not finite", nll.value));
    if (nll.low && nll.high) {
      perplexity.low = std::exp(*nll.low);
      perplexity.high = std::exp(*nll.high);
    }
    return {perplexity, nll};
  }

 private:
  EvaluatorContext context_;
  std::vector<double> means_;
};

}  // namespace

std::unique_ptr<Evaluator> Perplexity::make(const EvaluatorContext& context) {
  return std::make_unique<PerplexityEvaluator>(context);
}

}  // namespace stamp
