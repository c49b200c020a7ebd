#include "eval/noise_sqnr.h"

#include <ATen/core/Tensor.h>

#include "base/error.h"
#include "eval/image_metrics.h"
#include "images/metrics.h"
#include "models/pipeline/image_set.h"

namespace stamp {

namespace {

class NoiseSqnrEvaluator : public Evaluator {
 public:
  explicit NoiseSqnrEvaluator(EvaluatorContext context) : context_(std::move(context)) {}

  bool has_reference() const override { return false; }
  void begin(const Workload& workload) override {
    set_ = dynamic_cast<const ImageSet*>(&workload);
    if (!set_) throw TrialError("unsupported", "noise_sqnr needs denoising steps; this model makes no images");
  }

  void observe(const WorkItem& item, const Outputs& outputs) override {
    // Channels of a variance, where a model has them, are read by nobody.
    const std::int64_t channels = set_->pipeline().config().in_channels;
    const auto predicted = [&](const at::Tensor& output) { return output.slice(1, 0, channels).contiguous(); };
    const at::Tensor reference = predicted(set_->output(item.index)), other = predicted(outputs.named.at("noise"));
    items_.push_back(signal_to_noise_db(values_of_tensor(reference), values_of_tensor(other)));
  }

  std::vector<Metric> finish(const std::vector<SlotResult>&) override {
    Metric like;
    like.over = "denoising steps";
    like.protocol = context_.protocol;
    like.lower_is_better = false;
    return mean_metric("noise_sqnr", "dB", items_, like);
  }

 private:
  EvaluatorContext context_;
  const ImageSet* set_ = nullptr;
  std::vector<double> items_;
};

}  // namespace

std::unique_ptr<Evaluator> NoiseSqnr::make(const EvaluatorContext& context) {
  return std::make_unique<NoiseSqnrEvaluator>(context);
}

}  // namespace stamp
