#include "eval/image_reward.h"

#include <fmt/format.h>

#include "base/error.h"
#include "eval/image_metrics.h"
#include "models/pipeline/image_set.h"
#include "models/text/image_reward_model.h"

namespace stamp {
namespace {

std::string reward_folder(const ImageSpec& images) {
  return judge_weights(
      images.image_reward, "STAMP_IMAGE_REWARD",
      "image_reward needs the ImageReward model, which is not shipped: scripts/image_reward_weights.py "
      "makes a folder of ImageReward.pt, med_config.json and bert-base-uncased's vocab.txt; set "
      "images.image_reward or $STAMP_IMAGE_REWARD to it");
}

class ImageRewardEvaluator : public Evaluator {
 public:
  explicit ImageRewardEvaluator(EvaluatorContext context) : context_(std::move(context)) {}

  std::string judged_with(const Workload&) const override {
    try {
      return open_image_reward(reward_folder(context_.spec->images)).digest();
    } catch (const DataError& error) {
      throw TrialError("missing", std::string("image_reward: ") + error.what());
    }
  }
  void begin(const Workload& workload) override {
    images_ = dynamic_cast<const FinishedImages*>(&workload);
    if (!images_) throw TrialError("unsupported", "image_reward needs images; this model makes none");
    if (!images_->set().pipeline().config().has_text())
      throw TrialError("unsupported",
                       "image_reward judges images by their prompts; this model is given classes: class_accuracy is "
                       "the metric for it");
    try {
      const ImageRewardFiles files = open_image_reward(reward_folder(context_.spec->images));
      // Large files are hashed once and remembered; the value depends on them.
      digest_ = files.digest();
      model_ = std::make_unique<const ImageRewardModel>(files);
    } catch (const DataError& error) {
      throw TrialError("missing", std::string("image_reward: ") + error.what());
    }
  }

  void observe(const WorkItem& item, const Outputs& outputs) override {
    const ImageSet& set = images_->set();
    const ByteImage image = to_bytes(set.pipeline().finish(set.plan().sampling, outputs.named.at("image")));
    const std::string& prompt = set.plan().prompts[static_cast<std::size_t>(item.index)].text;
    rewards_.push_back(model_->reward(model_->ids(prompt), image));
  }

  std::vector<Metric> finish(const std::vector<SlotResult>&) override {
    Metric like;
    like.over = "images";
    like.protocol = context_.protocol + fmt::format(", ImageReward {}", digest_.substr(0, 8));
    like.lower_is_better = false;
    return mean_metric("image_reward", "", rewards_, like);
  }

 private:
  EvaluatorContext context_;
  const FinishedImages* images_ = nullptr;
  std::string digest_;
  std::unique_ptr<const ImageRewardModel> model_;
  std::vector<double> rewards_;
};

}  // namespace

std::unique_ptr<Evaluator> ImageReward::make(const EvaluatorContext& context) {
  return std::make_unique<ImageRewardEvaluator>(context);
}

}  // namespace stamp
