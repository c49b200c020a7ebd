#include "eval/leak.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "config/spec.h"
#include "eval/interval.h"
#include "eval/loss_metrics.h"
#include "models/network.h"
#include "results/record.h"

namespace stamp {

// D2 pair by pair is parity_split (transforms/look_ahead.h): there a last left member, whose right one has no loss,
// stays outside, since it cannot be compared. It saw its right one all the same, so that it counts in the mean here.
// Sums, not that one's running means: recorded numbers would move in their last bits.
ParityLosses parity_losses(std::span<const float> losses, std::int64_t first) {
  double sums[2] = {0, 0}, counts[2] = {0, 0};
  for (std::size_t t = static_cast<std::size_t>(std::max<std::int64_t>(first, 0)); t < losses.size(); ++t) {
    const std::size_t member = (t - static_cast<std::size_t>(first)) % 2;
    sums[member] += static_cast<double>(losses[t]);
    counts[member] += 1;
  }
  const auto mean = [&](int m) {
    return counts[m] > 0 ? sums[m] / counts[m] : std::numeric_limits<double>::quiet_NaN();
  };
  return {mean(0), mean(1)};
}

namespace {

class LeakEvaluator : public Evaluator {
 public:
  explicit LeakEvaluator(EvaluatorContext context) : context_(std::move(context)) {
    if (!context_.spec) throw std::logic_error("leak needs the trial's settings");
  }

  bool runs_itself() const override { return true; }
  void observe(const WorkItem&, const Outputs&) override {}

  void run(Network& network, const WorkItem& item) override {
    const std::vector<float> losses = losses_of(network, item);
    if (losses.size() < 3) throw TrialError("unsupported", "leak needs windows of at least four tokens");
    const ParityLosses parity = parity_losses(losses, context_.spec->quantization.sequence.skip_first);
    left_.push_back(parity.left);
    right_.push_back(parity.right);
    difference_.push_back(parity.left - parity.right);

    WorkItem changed = item;
    at::Tensor ids = item.inputs.at("ids").clone();
    auto* const last = ids.mutable_data_ptr<std::int64_t>() + ids.numel() - 1;
    // The token before it: another one of this text, and no choice of ours.
    *last = *last == last[-1] ? last[-2] : last[-1];
    changed.inputs["ids"] = ids;
    const std::vector<float> after = losses_of(network, changed);
    double sum = 0, top = 0;
    const std::size_t earlier = losses.size() - 1;  // the last loss is that of the changed token
    for (std::size_t t = 0; t < earlier; ++t) {
      const double d = std::abs(static_cast<double>(after[t]) - static_cast<double>(losses[t]));
      sum += d;
      top = std::max(top, d);
    }
    change_.push_back(sum / static_cast<double>(earlier));
    largest_.push_back(top);
  }

  std::vector<Metric> finish(const std::vector<SlotResult>&) override {
    if (left_.empty()) return {};
    return {metric("leak_left_nll", left_), metric("leak_right_nll", right_),
            metric("leak_left_minus_right", difference_), metric("leak_future_change", change_),
            metric("leak_future_largest", largest_)};
  }

 private:
  static std::vector<float> losses_of(Network& network, const WorkItem& item) {
    const Outputs outputs = network.run(item);
    const auto found = outputs.named.find("token_nll");
    if (found == outputs.named.end()) throw TrialError("unsupported", "leak needs token losses; this model gives none");
    const at::Tensor losses = found->second.contiguous();
    const float* values = losses.const_data_ptr<float>();
    std::vector<float> out(values, values + losses.numel());
    checked_mean(out, "leak", item.index);
    return out;
  }

  Metric metric(const char* name, const std::vector<double>& items) const {
    Metric m;
    m.name = name;
    m.value = mean_of(items);
    m.unit = "nats";
    m.over = context_.items;
    m.n = static_cast<std::int64_t>(items.size());
    m.protocol = context_.protocol;
    m.items = items;
    if (const auto interval = mean_interval(items)) {
      m.low = interval->low;
      m.high = interval->high;
    }
    return m;
  }

  EvaluatorContext context_;
  std::vector<double> left_, right_, difference_, change_, largest_;
};

}  // namespace

std::unique_ptr<Evaluator> Leak::make(const EvaluatorContext& context) {
  return std::make_unique<LeakEvaluator>(context);
}

}  // namespace stamp
