#include "eval/image_sqnr.h"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include "base/error.h"
#include "eval/image_metrics.h"
#include "images/metrics.h"
#include "images/png.h"
#include "models/pipeline/image_set.h"

namespace stamp {

namespace {

class ImageSqnrEvaluator : public Evaluator {
 public:
  explicit ImageSqnrEvaluator(EvaluatorContext context) : context_(std::move(context)) {}

  bool has_reference() const override { return false; }
  void begin(const Workload& workload) override {
    images_ = dynamic_cast<const FinishedImages*>(&workload);
    if (!images_) throw TrialError("unsupported", "image_sqnr needs images; this model makes none");
  }

  void observe(const WorkItem& item, const Outputs& outputs) override {
    const auto& named = outputs.named;
    const auto ratio = [](const at::Tensor& reference, const at::Tensor& other) {
      return signal_to_noise_db(values_of_tensor(reference.contiguous()), values_of_tensor(other.contiguous()));
    };
    latent_.push_back(ratio(named.at("latent_fp"), named.at("latent")));
    signed_.push_back(ratio(named.at("image_fp"), named.at("image")));
    const at::Tensor &way = named.at("way"), &way_fp = named.at("way_fp");
    if (way.size(0) == images_->set().plan().sampling.steps && way.sizes() == way_fp.sizes()) {
      way_.resize(static_cast<std::size_t>(way.size(0)));
      for (std::int64_t s = 0; s < way.size(0); ++s)
        way_[static_cast<std::size_t>(s)].push_back(ratio(way_fp[s], way[s]));
    }
    const Sampling& sampling = images_->set().plan().sampling;
    const Pipeline& pipeline = images_->set().pipeline();
    const Image reference = pipeline.finish(sampling, named.at("image_fp"));
    const Image image = pipeline.finish(sampling, named.at("image"));
    unsigned_.push_back(signal_to_noise_db(reference.values, image.values));
    psnr_.push_back(psnr_db(reference, image));
    if (std::min(image.height, image.width) >= ssim_side) ssim_.push_back(ssim(reference, image));
    if (context_.keep_file && item.index < context_.spec->images.saved) {
      context_.keep_file(fmt::format("{:04}.png", item.index), encode_png(to_bytes(image)));
      context_.keep_file(fmt::format("{:04}.fp.png", item.index), encode_png(to_bytes(reference)));
    }
  }

  std::vector<Metric> finish(const std::vector<SlotResult>&) override {
    Metric like;
    like.over = "images";
    like.protocol = context_.protocol;
    like.lower_is_better = false;
    std::vector<Metric> all;
    const auto add = [&](const char* name, const char* unit, const std::vector<double>& items, const Metric& shape) {
      for (Metric& m : mean_metric(name, unit, items, shape)) all.push_back(std::move(m));
    };
    add("latent_sqnr", "dB", latent_, like);
    add("image_sqnr", "dB", signed_, like);
    add("image_sqnr_01", "dB", unsigned_, like);
    add("psnr", "dB", psnr_, like);
    add("ssim", "", ssim_, like);
    // Steps are no sample of anything: an interval over them would say nothing.
    std::vector<double> steps;
    for (const std::vector<double>& images : way_) {
      double sum = 0;
      for (const double v : images) sum += v;
      steps.push_back(sum / static_cast<double>(images.size()));
    }
    Metric way = like;
    way.over = "steps";
    add("way_sqnr", "dB", steps, way);
    if (!all.empty() && all.back().name == "way_sqnr") all.back().low.reset(), all.back().high.reset();
    return all;
  }

 private:
  static constexpr std::int64_t ssim_side = 11;  // of its window
  EvaluatorContext context_;
  const FinishedImages* images_ = nullptr;
  std::vector<double> latent_, signed_, unsigned_, psnr_, ssim_;
  std::vector<std::vector<double>> way_;  // by step, of the images whose whole way is known
};

}  // namespace

std::unique_ptr<Evaluator> ImageSqnr::make(const EvaluatorContext& context) {
  return std::make_unique<ImageSqnrEvaluator>(context);
}

}  // namespace stamp
