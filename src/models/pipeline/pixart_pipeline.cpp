// PixArt: T5 reads the prompt, DPM-Solver++ draws. Specification models 15.1.
#include <ATen/ops/empty.h>

#include "base/error.h"
#include "base/memory.h"
#include "models/pipeline/families.h"
#include "models/text/t5_encoder.h"
#include "tokenizer/folder.h"

namespace stamp {
namespace {

constexpr std::int64_t kSigmaTokens = 300, kAlphaTokens = 120;

FamilyTraits traits() {
  FamilyTraits t;
  t.pipelines = {"PixArtSigmaPipeline", "PixArtAlphaPipeline"};
  t.binned = {32, 64, 128, 256};
  return t;
}

class PixArtPipeline : public FamilyPipeline {
 public:
  PixArtPipeline(PipelineFolder folder, std::shared_ptr<const DiffusionSource> source)
      : FamilyPipeline(std::move(folder), std::move(source), traits()) {
    encoder_ = folder_.part("text_encoder", "config.json", "the T5 encoder of " + denoiser());
    tokenizer_ = folder_.part("tokenizer", "", "the tokenizer of the T5 encoder");
    if (folder_.class_name() == "PixArtAlphaPipeline") most_tokens_ = kAlphaTokens;
  }

  std::vector<Condition> conditions(const std::vector<ImagePrompt>& prompts, const Sampling& sampling,
                                    const std::function<void(const std::string&)>& warn) const override {
    std::vector<Condition> out =
        text_conditions(prompts, sampling, warn, [&] { return encoded(prompts, sampling, warn); });
    if (config().micro_conditions)
      for (Condition& condition : out) add_sizes(condition, sampling);
    return out;
  }

 private:
  // Hidden states of all prompts and, where the sampling is guided, of the negative one behind them.
  std::vector<at::Tensor> encoded(const std::vector<ImagePrompt>& prompts, const Sampling& sampling,
                                  const std::function<void(const std::string&)>& warn) const {
    const std::unique_ptr<Tokenizer> tokenizer = open_tokenizer_folder(tokenizer_);
    std::vector<TokenIds> ids;
    const auto add = [&](const std::string& text) {
      const std::string caption = plain_caption(text);
      const std::size_t all = tokenizer->encode(caption, true).size();
      ids.push_back(prompt_ids(*tokenizer, caption, most_tokens_));
      if (all > ids.back().size() && warn)
        warn(prompt_text(text) + " has " + std::to_string(all) + " tokens; it was cut to " +
             std::to_string(most_tokens_));
      if (ids.back().empty())
        throw DataError(prompt_text(text) + " has no tokens: " + tokenizer_ + " puts none behind a text");
    };
    for (const ImagePrompt& prompt : prompts) add(prompt.text);
    if (sampling.guided()) add(sampling.negative_prompt);
    std::vector<at::Tensor> rows;
    {
      const T5Encoder encoder(std::shared_ptr<const Checkpoint>(open_checkpoint(encoder_)));
      if (encoder.config().width != config().caption_channels)
        throw DataError(encoder_ + ": the text encoder gives " + std::to_string(encoder.config().width) +
                        " channels (d_model), the denoiser " + denoiser() + " reads " +
                        std::to_string(config().caption_channels) + " (caption_channels)");
      rows = encoder.encode(ids);
    }
    give_back_free_memory();
    return rows;
  }

  // Height and width at which the image is made, and their ratio (PixArt-alpha at 1024).
  static void add_sizes(Condition& condition, const Sampling& sampling) {
    const std::int64_t samples = sampling.guided() ? 2 : 1;
    at::Tensor resolution = at::empty({samples, 2}, at::TensorOptions(at::kFloat));
    at::Tensor ratio = at::empty({samples}, at::TensorOptions(at::kFloat));
    for (std::int64_t b = 0; b < samples; ++b) {
      resolution.data_ptr<float>()[2 * b] = static_cast<float>(sampling.rendered_height);
      resolution.data_ptr<float>()[2 * b + 1] = static_cast<float>(sampling.rendered_width);
      ratio.data_ptr<float>()[b] = static_cast<float>(static_cast<double>(sampling.rendered_height) /
                                                      static_cast<double>(sampling.rendered_width));
    }
    condition["resolution"] = resolution;
    condition["aspect_ratio"] = ratio;
  }

  std::string encoder_, tokenizer_;
  std::int64_t most_tokens_ = kSigmaTokens;
};

}  // namespace

std::unique_ptr<Pipeline> make_pixart_pipeline(PipelineFolder folder, std::shared_ptr<const DiffusionSource> source) {
  return std::make_unique<PixArtPipeline>(std::move(folder), std::move(source));
}

}  // namespace stamp
