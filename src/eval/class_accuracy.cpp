#include "eval/class_accuracy.h"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <optional>

#include "base/error.h"
#include "eval/image_metrics.h"
#include "eval/sample_judge.h"
#include "models/pipeline/image_set.h"
#include "models/vision/sample_classifier.h"

namespace stamp {
namespace {

class ClassAccuracyEvaluator : public Evaluator {
 public:
  explicit ClassAccuracyEvaluator(EvaluatorContext context) : context_(std::move(context)) {}

  std::string judged_with(const Workload& workload) const override {
    return SampleJudge("class_accuracy", *context_.spec, workload).digest();
  }
  void begin(const Workload& workload) override {
    judge_.emplace("class_accuracy", *context_.spec, workload);
    for (const ImagePrompt& prompt : judge_->images().set().plan().prompts)
      if (prompt.class_id < 0 || prompt.class_id >= judge_->classifier().classes())
        throw TrialError(
            "unsupported",
            fmt::format("class_accuracy: image \"{}\" is of {}; the classifier {} knows classes 0 to {}", prompt.name,
                        prompt.class_id < 0 ? "a text" : fmt::format("class {}", prompt.class_id), judge_->file(),
                        judge_->classifier().classes() - 1));
  }

  void observe(const WorkItem& item, const Outputs& outputs) override {
    const auto& prompts = judge_->images().set().plan().prompts;
    const auto answer = judge_->classifier().ask(judge_->pixels(outputs.named.at("image")));
    right_.push_back(answer.best() == prompts.at(static_cast<std::size_t>(item.index)).class_id ? 1 : 0);
  }

  std::vector<Metric> finish(const std::vector<SlotResult>&) override {
    Metric like;
    like.over = "images";
    like.protocol = context_.protocol;
    if (judge_) like.protocol += fmt::format(", classifier {}", judge_->digest().substr(0, 8));
    like.lower_is_better = false;
    return mean_metric("class_accuracy", "", right_, like);
  }

 private:
  EvaluatorContext context_;
  std::optional<SampleJudge> judge_;
  std::vector<double> right_;
};

}  // namespace

std::unique_ptr<Evaluator> ClassAccuracy::make(const EvaluatorContext& context) {
  return std::make_unique<ClassAccuracyEvaluator>(context);
}

}  // namespace stamp
