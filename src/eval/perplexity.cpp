#include "eval/perplexity.h"

#include <ATen/core/Tensor.h>

#include "base/error.h"
#include "eval/loss_metrics.h"
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
    means_.push_back(checked_mean({losses.const_data_ptr<float>(), static_cast<std::size_t>(losses.numel())},
                                  "perplexity", item.index));
  }

  std::vector<Metric> finish(const std::vector<SlotResult>&) override {
    if (means_.empty()) return {};
    Metric like;
    like.over = context_.items;
    like.n = static_cast<std::int64_t>(means_.size());
    like.protocol = context_.protocol;
    return loss_metrics(means_, like);
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
