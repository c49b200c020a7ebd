#include <iostream>
#include <iterator>
#include <optional>

#include "base/files.h"
#include "cli/generate_request.h"
#include "cli/number_checks.h"
#include "cli/one_trial.h"
#include "cli/verbs.h"
#include "formats/utf8.h"

namespace stamp {

namespace {

struct Options {
  std::string model, method, view = "rebuild";
  std::optional<std::string> prompt, prompt_file;
  std::vector<std::string> overrides;
  GenerateRequest request;
};

std::string prompt_of(const Options& options) {
  if (options.prompt) return *options.prompt;
  if (!options.prompt_file) throw ConfigError("nothing to continue: give --prompt TEXT or --prompt-file FILE");
  if (*options.prompt_file != "-") return read_file(*options.prompt_file, std::uint64_t{64} << 20);
  return {std::istreambuf_iterator<char>(std::cin), {}};
}

ExitCode run(const Front& front, const Options& options) {
  GenerateRequest request = options.request;
  request.prompt = prompt_of(options);
  request.keep_view = options.view == "keep";
  if (!is_utf8(request.prompt)) throw ConfigError("the prompt is not UTF-8 text");
  std::shared_ptr<const Schema> schema;
  const TrialSpec trial = trial_of({"generate",
                                    "decode_perplexity",
                                    options.model,
                                    options.method,
                                    options.overrides,
                                    {"model", "quantization", "calibration", "decode"},
                                    "; nothing is evaluated, and the text is that of --prompt"},
                                   front.catalog, schema);
  request.trial = with_paths(trial, *schema);
  return run_in_worker("generate", to_json(request), ReaderGone::done);
}

}  // namespace

void add_generate(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = add_verb(
      app, action, "generate", "Continue a prompt with a model, in full precision or under any quantization",
      "  stamp generate configs/models/smollm2-135m.yaml --prompt \"The capital of France is\"\n"
      "  stamp generate smollm2-135m --method quarot --set quantization.sequence.transform=dct --set decode.chunk=128 "
      "--max-tokens 64 --stats --prompt \"Once upon a time\"\n\n"
      "Text goes to stdout as it comes, everything else to stderr. Without --method nothing is quantized unless --set\n"
      "says so (--set quantization.kv_cache.bits=4); with it the defaults of experiment files hold: weights, "
      "activations\n"
      "and caches at 4 bits. The prompt is taken as it is; chat templates are not applied.",
      options, run);
  GenerateRequest& r = options->request;
  verb->add_option("MODEL", options->model,
                   "GGUF file or HF folder, a YAML piece with `model:`, or a name of configs/models")
      ->required();
  verb->add_option("--prompt", options->prompt, "Text to continue");
  verb->add_option("--prompt-file", options->prompt_file, "File that holds the text to continue; -: standard input")
      ->excludes("--prompt");
  verb->add_option("--method", options->method, "Quantization method; every bit width then takes its default, 4");
  verb->add_option("--set", options->overrides, "One setting of an experiment file, a.b=value; may be repeated")
      ->allow_extra_args(false);
  verb->add_option("--max-tokens", r.max_tokens, "Tokens at most; fewer when the model ends the text")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  verb->add_option("--temperature", r.sampling.temperature, "0: the likeliest token; above: draw")
      ->check(real_from(0, 100))
      ->capture_default_str();
  verb->add_option("--top-k", r.sampling.top_k, "Draw among the k likeliest; 0: all")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
  verb->add_option("--top-p", r.sampling.top_p, "Draw among the likeliest that together have this probability")
      ->check(real_from(0, 1))
      ->capture_default_str();
  verb->add_option("--seed", r.sampling.seed, "Seed of the draws")->check(seed_number())->capture_default_str();
  verb->add_option("--cache-view", options->view,
                   "rebuild: restore packed chunks in every step; keep: hold a float32 copy of them")
      ->check(CLI::IsMember({"rebuild", "keep"}))
      ->capture_default_str();
  verb->add_flag("--stats", r.stats, "Speed, bytes of the cache and average bits on stderr at the end");
}

}  // namespace stamp
