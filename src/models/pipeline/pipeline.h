// From a prompt or a class to an image: a folder in diffusers layout with its scheduler, text encoder, denoiser and
// autoencoder. The denoiser itself is the caller's: whatever network runs the work items. Specification models 15.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "images/image.h"
#include "models/diffusion/diffusion_source.h"
#include "models/network.h"
#include "schedulers/scheduler.h"

namespace stamp {

// What is wanted; nothing: the pipeline's default.
struct SamplingRequest {
  std::optional<std::int64_t> steps;
  std::optional<double> guidance;             // 1 and below: none, one sample a step instead of two
  std::optional<std::int64_t> height, width;  // of the image, pixels
  std::string negative_prompt;                // models of text
};

// What an image is of. Models of text read `text`, class-conditional ones `class_id`.
struct ImagePrompt {
  std::string name;  // its seed is the hash of it (methods 13.5)
  std::string text;
  std::int64_t class_id = -1;
};
// (h = (31 h + code) mod (10^9 + 7) over the characters of the name, from 0) + offset.
std::uint64_t seed_of(const ImagePrompt& prompt, std::uint64_t offset);

// A request made definite.
struct Sampling {
  std::int64_t steps = 0;
  double guidance = 1;
  std::int64_t height = 0, width = 0;                    // of the image as asked for
  std::int64_t rendered_height = 0, rendered_width = 0;  // at which it is made, then resized and cropped (models 15.1)
  std::int64_t latent_height = 0, latent_width = 0;
  std::string negative_prompt;
  // Of models that read the guidance scale as an input (SANA-Sprint): they see one sample, and `guidance` is 1.
  std::optional<double> embedded_guidance = std::nullopt;
  std::shared_ptr<Scheduler> scheduler;  // starts anew with every image
  bool guided() const { return guidance > 1; }
};

// Inputs of all steps of one image: "class", or "text" and "text_mask", "resolution", "aspect_ratio", "guidance" as the
// denoiser reads them, of one sample, or of two where the sampling is guided, in the order of the pipeline.
using Condition = std::map<std::string, at::Tensor>;

class Pipeline {
 public:
  virtual ~Pipeline() = default;
  const DiffusionConfig& config() const { return source_->config(); }
  const std::shared_ptr<const DiffusionSource>& source() const { return source_; }

  // Which parts make up the pipeline, for records: classes, and the digest of an instruction that prompts begin with.
  virtual Json description() const = 0;
  // The class that `text` means, a number or a name of the pipeline's own list. ConfigError: none, or a model of text.
  virtual std::int64_t class_named(const std::string& text) const = 0;
  virtual std::string class_name(std::int64_t id) const = 0;  // "" where the pipeline has no name for it

  // ConfigError: sizes that do not divide, a number of steps that the scheduler does not take.
  virtual Sampling resolve(const SamplingRequest& request) const = 0;
  // Of all prompts; a text encoder is opened for it and freed. DataError: a component that is missing; ConfigError: a
  // class or text that the model does not take. `warn`: prompts that were cut.
  virtual std::vector<Condition> conditions(const std::vector<ImagePrompt>& prompts, const Sampling& sampling,
                                            const std::function<void(const std::string&)>& warn) const = 0;
  // Standard normal, 1 x C x h x w: torch.randn of a CPU generator with this seed.
  at::Tensor noise(const Sampling& sampling, std::uint64_t seed) const;
  // What the denoiser reads at step i. `latent`: 1 x C x h x w, as sample() has it there.
  WorkItem item(const Sampling& sampling, const Condition& condition, const at::Tensor& latent, std::size_t step) const;
  // The denoiser's output as one prediction, 1 x C x h x w: without channels of a variance, guided where the sampling
  // is.
  virtual at::Tensor guided(const Sampling& sampling, const at::Tensor& output) const = 0;
  // What the scheduler takes of it: the prediction itself, or for SANA-Sprint its TrigFlow form (models 12.6).
  at::Tensor scheduler_output(const Sampling& sampling, const at::Tensor& prediction, const at::Tensor& latent,
                              std::size_t step) const;

  // One image: from noise to the final latent. `denoise` runs an item and returns its "noise"; `after` sees the latent
  // behind every step, which is data_scale() of the scheduler times a latent until the last. TrialError ("non_finite")
  // for NaN or infinities on the way.
  using Denoise = std::function<at::Tensor(std::size_t step, const WorkItem& item)>;
  using After = std::function<void(std::size_t step, const at::Tensor& latent)>;
  // `seed`: of the noise that some schedulers add between steps, drawn behind what noise() drew with the same seed.
  at::Tensor sample(const Sampling& sampling, const Condition& condition, at::Tensor noise, const Denoise& denoise,
                    const After& after = {}, std::uint64_t seed = 0) const;

  // The final latent as an image, values from -1 to 1, not clamped, 1 x 3 x rendered_height x rendered_width. A model
  // of pixels has no autoencoder: its latent is the image. TrialError ("non_finite") for NaN or infinities.
  virtual at::Tensor decode(const at::Tensor& latent) const = 0;
  // Clamped to [0, 1], resized and cropped to what was asked for.
  Image finish(const Sampling& sampling, const at::Tensor& decoded) const;

 protected:
  explicit Pipeline(std::shared_ptr<const DiffusionSource> source) : source_(std::move(source)) {}
  std::shared_ptr<const DiffusionSource> source_;
};

// `path`: a pipeline's folder (model_index.json) or its transformer folder, whose siblings are the other components.
// Headers only are read here. DataError names the component and file that is missing or does not fit.
std::unique_ptr<Pipeline> open_pipeline(const std::string& path, std::shared_ptr<const DiffusionSource> source = {});

}  // namespace stamp
