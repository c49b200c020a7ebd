// The images of a trial as work items: every denoising step on the way of the full-precision model to the first few of
// them, and the finished images. Specification methods 13.4, 2.8; models 15.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/spec.h"
#include "models/generated_workload.h"
#include "models/pipeline/pipeline.h"

namespace stamp {

// A denoising step: input `step` of image `image`.
struct StepPlace {
  std::int64_t image = 0, step = 0;
};

// What is made: prompts with their seeds, and the settings of the sampler.
struct ImagePlan {
  std::vector<ImagePrompt> prompts;  // one an image
  std::vector<std::uint64_t> seeds;  // of the initial noise
  Sampling sampling;
  std::vector<StepPlace> places;  // the work items, by image and then by step
  bool keeps_results = true;      // false: inputs alone are kept (calibration)
  Json description = Json::object();
  std::string protocol;
};
// DataError: a file of prompts that is missing, empty or no UTF-8; a number of classes or prompts that does not fit.
ImagePlan plan_images(const Pipeline& pipeline, const ImageSpec& spec);
// Four steps, one from each quarter, of images whose prompts lie behind those of the trial where the file has enough,
// and whose seeds are their own.
ImagePlan plan_calibration_images(const Pipeline& pipeline, const ImageSpec& spec, const CalibrationSpec& calibration);

// Lines of a file of prompts: PROMPT, or NAME, a tab, PROMPT; empty lines are skipped. A prompt without a name is
// called by its line's number, from 0. DataError.
std::vector<ImagePrompt> read_prompts(const std::string& path);

// Work items: one input of the denoiser each, of one sample or of the two of guidance, as the full-precision model met
// them. count() = places.
class ImageSet : public GeneratedWorkload, public std::enable_shared_from_this<ImageSet> {
 public:
  ImageSet(std::shared_ptr<const Pipeline> pipeline, ImagePlan plan);

  std::int64_t count() const override { return static_cast<std::int64_t>(plan_.places.size()); }
  WorkItem item(std::int64_t i) const override;
  std::int64_t tokens_per_item() const override { return rows_ * columns_; }  // of one sample
  std::int64_t grid_width() const override { return columns_; }
  Json description() const override { return plan_.description; }
  std::string protocol() const override { return plan_.protocol; }

  void generate(Network& full_precision, bool streamed,
                const std::function<void(std::int64_t done, std::int64_t total)>& step) override;
  bool generated() const override { return !inputs_.empty(); }
  std::unique_ptr<Workload> results(bool reference) const override;
  std::vector<std::string> warnings() const override { return warnings_; }
  std::string state() const override;
  bool restore(std::string_view bytes) override;

  const Pipeline& pipeline() const { return *pipeline_; }
  const ImagePlan& plan() const { return plan_; }
  const at::Tensor& output(std::int64_t i) const;                // of the full-precision model for item i, all channels
  const std::vector<at::Tensor>& way(std::int64_t image) const;  // its latents behind every step
  // The full-precision image, decoded; kept for the trials that follow, as far as there is room.
  const at::Tensor& decoded(std::int64_t image) const;
  const Condition& condition(std::int64_t image) const;
  at::Tensor noise(std::int64_t image) const;

 private:
  void require() const;  // generated(), or std::logic_error
  std::shared_ptr<const Pipeline> pipeline_;
  ImagePlan plan_;
  std::int64_t rows_ = 0, columns_ = 0;
  std::vector<Condition> conditions_;         // of every image
  std::vector<at::Tensor> inputs_, outputs_;  // of every place; outputs only where results are kept
  std::vector<std::vector<at::Tensor>> ways_;
  mutable std::map<std::int64_t, at::Tensor> decoded_;
  std::vector<std::string> warnings_;
};

// Finished images, one an item. run() samples with the network; Outputs:
//   "latent", "latent_fp"   1 x C x h x w
//   "image", "image_fp"     1 x 3 x H x W, decoded, about -1 to 1, not clamped
//   "way", "way_fp"         steps x C x h x w: latents behind every step
// With `reference` the network is not used: the first of each pair is the second.
class FinishedImages : public Workload {
 public:
  FinishedImages(std::shared_ptr<const ImageSet> set, bool reference) : set_(std::move(set)), reference_(reference) {}
  std::int64_t count() const override { return static_cast<std::int64_t>(set_->plan().prompts.size()); }
  WorkItem item(std::int64_t i) const override;  // the index alone
  Outputs run(Network& network, const WorkItem& item) const override;
  bool single_run() const override { return false; }
  std::int64_t tokens_per_item() const override { return set_->tokens_per_item(); }
  std::int64_t grid_width() const override { return set_->grid_width(); }
  Json description() const override { return set_->description(); }
  std::string protocol() const override { return set_->protocol(); }
  const ImageSet& set() const { return *set_; }

 private:
  std::shared_ptr<const ImageSet> set_;
  bool reference_;
};

}  // namespace stamp
