#include "eval/clip_score.h"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include "base/error.h"
#include "eval/image_metrics.h"
#include "models/pipeline/image_set.h"
#include "models/text/clip_model.h"
#include "tokenizer/folder.h"

namespace stamp {
namespace {

std::string clip_folder(const ImageSpec& images) {
  return judge_weights(
      images.clip, "STAMP_CLIP",
      "clip_score needs a CLIP model, which is not shipped: set images.clip or $STAMP_CLIP to a folder in "
      "Hugging Face layout (config.json, model.safetensors, and tokenizer.json or vocab.json with "
      "merges.txt), for published values that of openai/clip-vit-large-patch14");
}

class ClipScoreEvaluator : public Evaluator {
 public:
  explicit ClipScoreEvaluator(EvaluatorContext context) : context_(std::move(context)) {}

  std::string judged_with(const Workload&) const override {
    try {
      return open_checkpoint(clip_folder(context_.spec->images))->digest();
    } catch (const DataError& error) {
      throw TrialError("missing", std::string("clip_score: ") + error.what());
    }
  }
  void begin(const Workload& workload) override {
    images_ = dynamic_cast<const FinishedImages*>(&workload);
    if (!images_) throw TrialError("unsupported", "clip_score needs images; this model makes none");
    if (!images_->set().pipeline().config().has_text())
      throw TrialError("unsupported",
                       "clip_score compares images with their prompts; this model is given classes: class_accuracy is "
                       "the metric for it");
    const std::string folder = clip_folder(context_.spec->images);
    try {
      std::shared_ptr<const Checkpoint> checkpoint = open_checkpoint(folder);
      // Large files are hashed once and remembered; the value depends on them.
      digest_ = checkpoint->digest();
      const std::unique_ptr<Tokenizer> tokenizer = open_tokenizer_folder(folder);
      clip_ = std::make_unique<const ClipModel>(std::move(checkpoint));
      std::vector<TokenIds> texts;
      for (const ImagePrompt& prompt : images_->set().plan().prompts)
        texts.push_back(prompt_ids(*tokenizer, prompt.text, clip_->config().positions));
      texts_ = clip_->text_features(texts);
    } catch (const DataError& error) {
      throw TrialError("missing", std::string("clip_score: ") + error.what());
    }
  }

  void observe(const WorkItem& item, const Outputs& outputs) override {
    const ImageSet& set = images_->set();
    const ByteImage image = to_bytes(set.pipeline().finish(set.plan().sampling, outputs.named.at("image")));
    scores_.push_back(stamp::clip_score(texts_[item.index], clip_->image_features({image})[0]));
  }

  std::vector<Metric> finish(const std::vector<SlotResult>&) override {
    Metric like;
    like.over = "images";
    like.protocol = context_.protocol + fmt::format(", CLIP {}", digest_.substr(0, 8));
    like.lower_is_better = false;
    return mean_metric("clip_score", "", scores_, like);
  }

 private:
  EvaluatorContext context_;
  const FinishedImages* images_ = nullptr;
  std::string digest_;
  std::unique_ptr<const ClipModel> clip_;
  at::Tensor texts_;  // a row an image
  std::vector<double> scores_;
};

}  // namespace

std::unique_ptr<Evaluator> ClipScore::make(const EvaluatorContext& context) {
  return std::make_unique<ClipScoreEvaluator>(context);
}

}  // namespace stamp
