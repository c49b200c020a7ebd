// SANA: Gemma 2 reads an instruction and the prompt, a flow scheduler draws; SANA-Sprint in two TrigFlow steps with the
// guidance scale as an input. Specification models 12.5, 12.6, 15.2.
#include <ATen/ops/full.h>

#include <cstdlib>

#include "base/error.h"
#include "base/memory.h"
#include "base/sha256.h"
#include "models/pipeline/families.h"
#include "models/text/gemma_encoder.h"
#include "tokenizer/folder.h"

namespace stamp {
namespace {

constexpr std::int64_t kMostTokens = 300;  // that the denoiser sees
constexpr const char* kInstruction = "sana_instruction.txt";
constexpr const char* kVariable = "STAMP_SANA_INSTRUCTION";

FamilyTraits traits(const DiffusionConfig& config) {
  FamilyTraits t;
  t.pipelines = {config.guidance ? "SanaSprintPipeline" : "SanaPipeline"};
  t.steps = config.guidance ? 2 : 20;
  t.binned = {16, 32, 64, 128};
  t.pixels_per_latent = 32;
  t.prediction = config.guidance ? Prediction::trigflow : Prediction::flow;
  return t;
}

class SanaPipeline : public FamilyPipeline {
 public:
  SanaPipeline(PipelineFolder folder, std::shared_ptr<const DiffusionSource> source)
      : FamilyPipeline(std::move(folder), source, traits(source->config())) {
    encoder_ = folder_.part("text_encoder", "config.json", "the Gemma encoder of " + denoiser());
    tokenizer_ = folder_.part("tokenizer", "", "the tokenizer of the Gemma encoder");
  }

  Json description() const override {
    Json out = FamilyPipeline::description();
    const std::string text = instruction();
    out["instruction"] = text.empty() ? "none" : sha256_hex(text);
    return out;
  }

  Sampling resolve(const SamplingRequest& request) const override {
    Sampling out = FamilyPipeline::resolve(request);
    if (!config().guidance) return out;
    if (!request.negative_prompt.empty())
      throw ConfigError("a negative prompt: " + denoiser() +
                        " reads the guidance scale as an input (guidance_embeds) and sees no second sample");
    out.embedded_guidance = out.guidance;
    out.guidance = 1;
    return out;
  }

  std::vector<Condition> conditions(const std::vector<ImagePrompt>& prompts, const Sampling& sampling,
                                    const std::function<void(const std::string&)>& warn) const override {
    std::vector<Condition> out =
        text_conditions(prompts, sampling, warn, [&] { return encoded(prompts, sampling, warn); });
    if (sampling.embedded_guidance)
      for (Condition& condition : out)
        condition["guidance"] =
            at::full({1}, *sampling.embedded_guidance * config().guidance_scale, at::TensorOptions(at::kFloat));
    return out;
  }

 private:
  // The text that prompts begin with; "" where the user wants none.
  std::string instruction() const {
    const char* named = std::getenv(kVariable);
    if (named && std::string(named) == "none") return "";
    if (named && *named) return sana_instruction(named);
    const fs::path beside = folder_.root() / kInstruction, cached = cache_folder() / kInstruction;
    for (const fs::path& path : {beside, cached})
      if (fs::is_regular_file(path)) return sana_instruction(path);
    throw DataError(beside.string() + ": the instruction that SANA's prompts begin with is not there, nor is " +
                    cached.string() + "; scripts/sana_instruction.py writes it from an installed diffusers library. " +
                    kVariable + " names another file; with \"none\" prompts go without it");
  }

  std::vector<at::Tensor> encoded(const std::vector<ImagePrompt>& prompts, const Sampling& sampling,
                                  const std::function<void(const std::string&)>& warn) const {
    const std::unique_ptr<Tokenizer> tokenizer = open_tokenizer_folder(tokenizer_);
    const std::string first = instruction();
    std::vector<SanaPrompt> list;
    for (const ImagePrompt& prompt : prompts) list.push_back(read(*tokenizer, first, prompt.text, warn));
    if (sampling.guided()) list.push_back(read(*tokenizer, "", sampling.negative_prompt, warn));
    std::vector<at::Tensor> rows;
    {
      const GemmaEncoder encoder(std::shared_ptr<const Checkpoint>(open_checkpoint(encoder_)));
      if (encoder.width() != config().caption_channels)
        throw DataError(encoder_ + ": the text encoder gives " + std::to_string(encoder.width()) +
                        " channels (hidden_size), the denoiser " + denoiser() + " reads " +
                        std::to_string(config().caption_channels) + " (caption_channels)");
      rows = encoder.encode(list);
    }
    give_back_free_memory();
    return rows;
  }

  static SanaPrompt read(const Tokenizer& tokenizer, const std::string& instruction, const std::string& text,
                         const std::function<void(const std::string&)>& warn) {
    SanaPrompt prompt = sana_prompt(tokenizer, instruction, text, kMostTokens);
    const std::size_t all = tokenizer.encode(instruction + plain_caption(text), true).size();
    if (all > prompt.ids.size() && warn)
      warn(prompt_text(text) + " has " + std::to_string(all - prompt.ids.size()) + " tokens more than the " +
           std::to_string(kMostTokens) + " that the denoiser sees; its end was cut off");
    return prompt;
  }

  std::string encoder_, tokenizer_;
};

}  // namespace

std::unique_ptr<Pipeline> make_sana_pipeline(PipelineFolder folder, std::shared_ptr<const DiffusionSource> source) {
  return std::make_unique<SanaPipeline>(std::move(folder), std::move(source));
}

}  // namespace stamp
