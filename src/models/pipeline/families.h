// The pipelines of the three families, and what they have in common: scheduler, autoencoder, sizes, guidance.
// Specification models 15.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "images/resize.h"
#include "models/pipeline/pipeline.h"
#include "models/pipeline/pipeline_folder.h"
#include "models/vae/autoencoder.h"

namespace stamp {

// The three kinds; open_pipeline() picks. DataError: a part that is missing or does not fit.
std::unique_ptr<Pipeline> make_dit_pipeline(PipelineFolder folder, std::shared_ptr<const DiffusionSource> source);
std::unique_ptr<Pipeline> make_pixart_pipeline(PipelineFolder folder, std::shared_ptr<const DiffusionSource> source);
std::unique_ptr<Pipeline> make_sana_pipeline(PipelineFolder folder, std::shared_ptr<const DiffusionSource> source);

// What distinguishes one family from the next.
struct FamilyTraits {
  std::vector<std::string> pipelines;  // class names that go with the denoiser
  std::int64_t steps = 20;             // where a request says nothing
  double guidance = 4.5;
  bool condition_first = false;                 // order of the two samples of guidance
  std::vector<std::int64_t> binned;             // sample sizes that have a table of image sizes, and then
  std::int64_t pixels_per_latent = 8;           // what their autoencoder has to have
  Prediction prediction = Prediction::epsilon;  // trigflow, or anything else
};

class FamilyPipeline : public Pipeline {
 public:
  Json description() const override;
  std::int64_t class_named(const std::string& text) const override;
  std::string class_name(std::int64_t) const override { return ""; }
  Sampling resolve(const SamplingRequest& request) const override;
  at::Tensor guided(const Sampling& sampling, const at::Tensor& output) const override;
  at::Tensor decode(const at::Tensor& latent) const override;

 protected:
  FamilyPipeline(PipelineFolder folder, std::shared_ptr<const DiffusionSource> source, FamilyTraits traits);
  bool has_table() const;      // of image sizes
  std::int64_t scale() const;  // pixels of the image per latent pixel, each way
  std::string denoiser() const { return config().architecture; }
  // conditions() of models of text: encodes all prompts and, where the sampling is guided, the negative one behind
  // them, and makes one condition an image of their rows.
  using Warn = std::function<void(const std::string&)>;
  using Encode = std::function<std::vector<at::Tensor>()>;
  std::vector<Condition> text_conditions(const std::vector<ImagePrompt>& prompts, const Sampling& sampling,
                                         const Warn& warn, const Encode& encode) const;
  PipelineFolder folder_;
  FamilyTraits traits_;

 private:
  void open_autoencoder_of_folder();
  void check_channels() const;
  std::unique_ptr<Scheduler> scheduler(std::int64_t steps) const;
  ImageSize rendered(ImageSize wanted) const;
  Json scheduler_config_;
  std::shared_ptr<Autoencoder> autoencoder_;  // null: a model of pixels
};

// "the prompt \"a small ca...\"", for messages.
std::string prompt_text(const std::string& text);

}  // namespace stamp
