#include "base/files.h"
#include "cli/number_checks.h"
#include "cli/one_trial.h"
#include "cli/sample_request.h"
#include "cli/verbs.h"
#include "formats/utf8.h"

namespace stamp {

namespace {

struct Options {
  std::string model, method;
  std::vector<std::string> overrides;
  SampleRequest request;
};

ExitCode run(const Front& front, const Options& options) {
  SampleRequest request = options.request;
  if (request.prompts.empty() && request.classes.empty())
    throw ConfigError("what shall the images show: give --prompt TEXT (PixArt, SANA) or --class N (DiT)");
  for (const std::string& prompt : request.prompts)
    if (!is_utf8(prompt)) throw ConfigError("--prompt is not UTF-8 text");
  if (!is_utf8(request.negative)) throw ConfigError("--negative is not UTF-8 text");
  if (request.streamed && !(options.method.empty() && options.overrides.empty()))
    throw ConfigError("--streamed runs the model in full precision; leave --method and --set out");
  request.output = fs::absolute(request.output).lexically_normal().string();
  std::shared_ptr<const Schema> schema;
  const TrialSpec trial =
      trial_of({"sample",
                "slot_error",
                options.model,
                options.method,
                options.overrides,
                {"model", "quantization"},
                "; images are asked for with the options of the verb (--steps, --guidance, --height, ...)"},
               front.catalog, schema);
  request.trial = with_paths(trial, *schema);
  return run_in_worker("sample", to_json(request), ReaderGone::fault);
}

}  // namespace

void add_sample(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = add_verb(
      app, action, "sample", "Make images with a diffusion transformer, in full precision or under any quantization",
      "  stamp sample results/cifar10_dit/checkpoint --class 3 --class 7 --count 4 --output cats-and-horses\n"
      "  stamp sample PixArt-Sigma-XL-2-1024-MS --prompt \"a lighthouse in a storm\" --height 768 --width 1344\n"
      "  stamp sample PixArt-Sigma-XL-2-1024-MS --prompt \"a red bicycle\" --streamed\n"
      "  stamp sample results/cifar10_dit/checkpoint --class 3 --method rtn --set "
      "quantization.sequence.transform=haar2d\n\n"
      "MODEL is a pipeline's folder in diffusers layout: model_index.json beside transformer, scheduler, vae,\n"
      "text_encoder and tokenizer. PNG files (0000.png, 0001.png, ...), a labelled sheet.png of several and\n"
      "samples.json with what made them go to --output, where files of these names are replaced; their names go to\n"
      "stdout, everything else to stderr. An image's noise comes from the hash of its name (0000) plus --seed, so "
      "that\n"
      "two runs with the same seed start from the same noise. Without --method nothing is quantized unless --set says\n"
      "so; with it the defaults of experiment files hold: weights and activations at 4 bits.",
      options, run);
  SampleRequest& r = options->request;
  verb->add_option("MODEL", options->model,
                   "Folder of a diffusers pipeline, a YAML piece with `model:`, or a name of configs/models")
      ->required();
  CLI::Option* prompt = verb->add_option("--prompt", r.prompts, "Text of an image, of PixArt and SANA; may be repeated")
                            ->allow_extra_args(false);
  verb->add_option(
          "--class", r.classes,
          "Class of an image, of DiT: its number, or its name where model_index.json has names; may be repeated")
      ->allow_extra_args(false)
      ->excludes(prompt);
  verb->add_option("--count", r.count, "Images of each prompt or class, of different noise")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  verb->add_option("--steps", r.steps, "Denoising steps; default: DiT 50, PixArt and SANA 20, SANA-Sprint 2")
      ->check(CLI::Range(1, 1000));
  verb->add_option("--guidance", r.guidance,
                   "Guidance scale; up to 1: none, which halves the work; default: DiT 4, others 4.5")
      ->check(real_from(0, 1000));
  verb->add_option("--height", r.height, "Height in pixels; default: what the model was trained for")
      ->check(CLI::Range(1, 16384));
  verb->add_option("--width", r.width,
                   "Width in pixels; PixArt and SANA make the nearest size that they were trained on and resize it")
      ->check(CLI::Range(1, 16384));
  verb->add_option("--negative", r.negative, "What the images shall not show, of models of texts with guidance");
  verb->add_option("--seed", r.seed, "Added to every image's own seed")->check(seed_number())->capture_default_str();
  verb->add_option("--method", options->method, "Quantization method; every bit width then takes its default, 4");
  verb->add_option("--set", options->overrides, "One setting of an experiment file, a.b=value; may be repeated")
      ->allow_extra_args(false);
  verb->add_flag("--streamed", r.streamed,
                 "Read the denoiser's blocks from the file in every step: little memory, full precision only");
  verb->add_option("--output", r.output, "Folder of the images")->capture_default_str();
}

}  // namespace stamp
