#include "models/pipeline/families.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/text.h"
#include "formats/utf8.h"
#include "images/size_bins.h"
#include "models/text/t5_encoder.h"

namespace stamp {
namespace {

constexpr std::int64_t kMostPixels = 16384;  // of a side: bounds what a slip of the request allocates

std::string size_text(ImageSize size) {
  return std::to_string(size.height) + " x " + std::to_string(size.width);
}

}  // namespace

FamilyPipeline::FamilyPipeline(PipelineFolder folder, std::shared_ptr<const DiffusionSource> source,
                               FamilyTraits traits)
    : Pipeline(std::move(source)), folder_(std::move(folder)), traits_(std::move(traits)) {
  const std::string& given = folder_.class_name();
  if (!given.empty() && std::find(traits_.pipelines.begin(), traits_.pipelines.end(), given) == traits_.pipelines.end())
    throw DataError(folder_.place("model_index.json") + ": _class_name: \"" + given +
                    "\" does not go with the denoiser " + denoiser() + "; allowed: " + join(traits_.pipelines, ", "));
  scheduler_config_ = folder_.scheduler();
  const Prediction prediction = scheduler(traits_.steps)->prediction();
  if ((prediction == Prediction::trigflow) != (traits_.prediction == Prediction::trigflow))
    throw DataError(folder_.place("scheduler/scheduler_config.json") + ": the scheduler takes " + name_of(prediction) +
                    " predictions, which do not go with " + denoiser() +
                    (config().guidance ? ": with guidance_embeds it needs SCMScheduler"
                                       : ": without guidance_embeds it is not sampled by SCMScheduler"));
  check_channels();
  open_autoencoder_of_folder();
}

void FamilyPipeline::check_channels() const {
  const std::int64_t in = config().in_channels, out = config().out_channels;
  if (out != in && out != 2 * in)
    throw DataError(source_->checkpoint().path() + ": " + denoiser() + " makes " + std::to_string(out) +
                    " channels of " + std::to_string(in) + "; a pipeline takes " + std::to_string(in) + ", or " +
                    std::to_string(2 * in) + " with those of a variance (out_channels)");
}

void FamilyPipeline::open_autoencoder_of_folder() {
  const std::int64_t channels = config().in_channels;
  if (folder_.leaves_out("vae") && channels == 3) return;
  const std::string path = folder_.part("vae", "config.json",
                                        "the autoencoder of " + denoiser() + " with " + std::to_string(channels) +
                                            " channels (only a model of 3 channels makes pixels without one)");
  autoencoder_ = open_autoencoder(path);
  if (autoencoder_->latent_channels() != channels)
    throw DataError(path + ": the autoencoder has " + std::to_string(autoencoder_->latent_channels()) +
                    " latent channels, the denoiser " + denoiser() + " reads " + std::to_string(channels) +
                    ": they have to be equal");
  if (has_table() && scale() != traits_.pixels_per_latent)
    throw DataError(path + ": the autoencoder makes " + std::to_string(scale()) +
                    " pixels of a latent pixel; the image sizes of " + denoiser() + " with sample_size " +
                    std::to_string(config().sample_size) + " need " + std::to_string(traits_.pixels_per_latent));
}

Json FamilyPipeline::description() const {
  Json out;
  out["pipeline"] = folder_.class_name().empty() ? denoiser() : folder_.class_name();
  out["scheduler"] = scheduler_config_.value("_class_name", "");
  out["pixels_per_latent"] = scale();
  return out;
}

std::int64_t FamilyPipeline::class_named(const std::string& text) const {
  throw ConfigError("class \"" + text + "\": " + denoiser() + " reads texts, not classes");
}

bool FamilyPipeline::has_table() const {
  return std::find(traits_.binned.begin(), traits_.binned.end(), config().sample_size) != traits_.binned.end();
}

std::int64_t FamilyPipeline::scale() const {
  return autoencoder_ ? autoencoder_->scale() : 1;
}

std::unique_ptr<Scheduler> FamilyPipeline::scheduler(std::int64_t steps) const {
  const std::string place = folder_.place("scheduler/scheduler_config.json");
  try {
    return make_scheduler(scheduler_config_, steps, place);
  } catch (const TrialError& error) {
    throw DataError(place + ": " + error.what());
  }
}

ImageSize FamilyPipeline::rendered(ImageSize wanted) const {
  if (has_table()) return nearest_size(size_bins(table_side(config().sample_size, traits_.pixels_per_latent)), wanted);
  const std::int64_t unit = scale() * config().patch_size;
  if (wanted.height % unit != 0 || wanted.width % unit != 0)
    throw ConfigError("an image of " + size_text(wanted) + " pixels: height and width have to be multiples of " +
                      std::to_string(unit) + " for " + denoiser() + " (" + std::to_string(scale()) +
                      " pixels to a latent pixel, patches of " + std::to_string(config().patch_size) + ")");
  return wanted;
}

Sampling FamilyPipeline::resolve(const SamplingRequest& request) const {
  Sampling out;
  out.steps = request.steps.value_or(traits_.steps);
  out.guidance = request.guidance.value_or(traits_.guidance);
  if (!std::isfinite(out.guidance) || out.guidance < 0)
    throw ConfigError("guidance " + number_text(out.guidance) +
                      ": a number of at least 0 is needed; up to 1 there is none");
  out.negative_prompt = request.negative_prompt;
  try {
    out.scheduler = scheduler(out.steps);
  } catch (const DataError& error) {  // of the number of steps: with its own the scheduler was made before
    throw ConfigError(error.what());
  }
  const std::int64_t side = config().sample_size * scale();
  out.height = request.height.value_or(request.width && config().kind == DiffusionKind::dit ? *request.width : side);
  out.width = request.width.value_or(config().kind == DiffusionKind::dit ? out.height : side);
  const ImageSize wanted{out.height, out.width};
  if (std::min(out.height, out.width) < 1 || std::max(out.height, out.width) > kMostPixels)
    throw ConfigError("an image of " + size_text(wanted) + " pixels: sides from 1 to " + std::to_string(kMostPixels) +
                      " are allowed");
  if (config().kind == DiffusionKind::dit && out.height != out.width)
    throw ConfigError("an image of " + size_text(wanted) + " pixels: " + denoiser() + " draws squares only");
  const ImageSize size = rendered(wanted);
  out.rendered_height = size.height;
  out.rendered_width = size.width;
  out.latent_height = size.height / scale();
  out.latent_width = size.width / scale();
  return out;
}

at::Tensor FamilyPipeline::guided(const Sampling& sampling, const at::Tensor& output) const {
  const at::Tensor own = output.narrow(1, 0, config().in_channels);  // behind them: the variance
  if (!sampling.guided()) return own.contiguous();
  const at::Tensor condition = own.narrow(0, traits_.condition_first ? 0 : 1, 1);
  const at::Tensor null = own.narrow(0, traits_.condition_first ? 1 : 0, 1);
  return condition.sub(null).mul_(sampling.guidance).add_(null);
}

at::Tensor FamilyPipeline::decode(const at::Tensor& latent) const {
  if (!autoencoder_) return latent;
  const at::Tensor image = autoencoder_->decode_latent(latent).contiguous();
  autoencoder_
      ->release();  // read again for the next image: little next to decoding, and it leaves room for the denoiser
  const float* values = image.const_data_ptr<float>();
  if (!std::all_of(values, values + image.numel(), [](float v) { return std::isfinite(v); }))
    throw TrialError("non_finite", "the autoencoder made NaN or infinities of the final latent");
  return image;
}

std::string prompt_text(const std::string& text) {
  constexpr std::size_t most = 40;
  std::size_t end = std::min(text.size(), most);
  while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return "the prompt \"" + text.substr(0, end) + (end < text.size() ? "...\"" : "\"");
}

namespace {

// Encoded texts of one image as inputs of its denoiser: rows (tokens x channels) of every sample, one below the other,
// padded to the longest.
Condition text_condition(const std::vector<at::Tensor>& samples) {
  std::int64_t longest = 0;
  for (const at::Tensor& rows : samples) longest = std::max(longest, rows.size(0));
  const auto count = static_cast<std::int64_t>(samples.size());
  at::Tensor text = at::empty({count, longest, samples.front().size(1)}, at::TensorOptions(at::kFloat));
  at::Tensor mask = at::empty({count, longest}, at::TensorOptions(at::kLong));
  for (std::int64_t b = 0; b < count; ++b) {
    const at::Tensor& rows = samples[static_cast<std::size_t>(b)];
    const at::Tensor padded = padded_rows(rows, longest);
    std::copy_n(padded.const_data_ptr<float>(), padded.numel(), text.data_ptr<float>() + b * padded.numel());
    for (std::int64_t t = 0; t < longest; ++t)
      mask.data_ptr<std::int64_t>()[b * longest + t] = t < rows.size(0) ? 1 : 0;
  }
  return {{"text", text}, {"text_mask", mask}};
}

// ConfigError unless every prompt is a text.
void require_texts(const std::vector<ImagePrompt>& prompts, const std::string& denoiser) {
  for (const ImagePrompt& prompt : prompts) {
    if (prompt.class_id >= 0)
      throw ConfigError("class " + std::to_string(prompt.class_id) + ": " + denoiser + " reads texts, not classes");
    if (!is_utf8(prompt.text)) throw ConfigError(prompt_text(prompt.text) + " is not UTF-8 text");
  }
}

}  // namespace

std::vector<Condition> FamilyPipeline::text_conditions(const std::vector<ImagePrompt>& prompts,
                                                       const Sampling& sampling, const Warn& warn,
                                                       const Encode& encode) const {
  require_texts(prompts, denoiser());
  if (!sampling.guided() && !sampling.negative_prompt.empty() && warn)
    warn("the negative prompt has no effect without guidance (guidance above 1)");
  const std::vector<at::Tensor> rows = encode();
  std::vector<Condition> out;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const at::Tensor& own = rows[i];
    out.push_back(text_condition(sampling.guided() ? std::vector{rows.back(), own} : std::vector{own}));
  }
  return out;
}

}  // namespace stamp
