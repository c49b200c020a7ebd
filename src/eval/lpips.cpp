#include "eval/lpips.h"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "eval/image_metrics.h"
#include "models/pipeline/image_set.h"
#include "models/vision/lpips_network.h"

namespace stamp {
namespace {

// DataError, or TrialError ("missing") where nothing is named.
std::string lpips_weights(const ImageSpec& images) {
  return lpips_file(
      judge_weights(images.lpips, "STAMP_LPIPS",
                    "lpips needs AlexNet with the weights of LPIPS, which are not shipped: scripts/lpips_weights.py "
                    "makes lpips.safetensors of torchvision's file and the lpips package's; set images.lpips or "
                    "$STAMP_LPIPS to its folder"));
}

class LpipsEvaluator : public Evaluator {
 public:
  explicit LpipsEvaluator(EvaluatorContext context) : context_(std::move(context)) {}

  bool has_reference() const override { return false; }
  std::string judged_with(const Workload&) const override {
    try {
      return file_digest(lpips_weights(context_.spec->images));
    } catch (const DataError& error) {
      throw TrialError("missing", std::string("lpips: ") + error.what());
    }
  }

  void begin(const Workload& workload) override {
    images_ = dynamic_cast<const FinishedImages*>(&workload);
    if (!images_) throw TrialError("unsupported", "lpips needs images; this model makes none");
    const Sampling& sampling = images_->set().plan().sampling;
    if (std::min(sampling.height, sampling.width) < LpipsNetwork::smallest_side)
      throw TrialError("unsupported", fmt::format("lpips needs images of {0} x {0} pixels or more, of which AlexNet's "
                                                  "pools leave something; these have {1} x {2}",
                                                  LpipsNetwork::smallest_side, sampling.height, sampling.width));
    try {
      const std::string file = lpips_weights(context_.spec->images);
      network_.emplace(*open_checkpoint(file));
      digest_ = file_digest(file);
    } catch (const DataError& error) {
      throw TrialError("missing", std::string("lpips: ") + error.what());
    }
  }

  void observe(const WorkItem&, const Outputs& outputs) override {
    const Pipeline& pipeline = images_->set().pipeline();
    const Sampling& sampling = images_->set().plan().sampling;
    distances_.push_back(network_->distance(pipeline.finish(sampling, outputs.named.at("image_fp")),
                                            pipeline.finish(sampling, outputs.named.at("image"))));
  }

  std::vector<Metric> finish(const std::vector<SlotResult>&) override {
    Metric like;
    like.over = "images";
    like.protocol = context_.protocol;
    if (network_)
      like.protocol += fmt::format(", LPIPS 0.1 of images not rounded to bytes, {} {}",
                                   network_->is_alexnet()
                                       ? "AlexNet"
                                       : fmt::format("a network of {} channels", fmt::join(network_->channels(), "-")),
                                   digest_.substr(0, 8));
    like.lower_is_better = true;
    return mean_metric("lpips", "", distances_, like);
  }

 private:
  EvaluatorContext context_;
  const FinishedImages* images_ = nullptr;
  std::optional<const LpipsNetwork> network_;
  std::string digest_;
  std::vector<double> distances_;
};

}  // namespace

std::unique_ptr<Evaluator> Lpips::make(const EvaluatorContext& context) {
  return std::make_unique<LpipsEvaluator>(context);
}

}  // namespace stamp
