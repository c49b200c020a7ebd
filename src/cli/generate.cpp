#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <iostream>
#include <iterator>
#include <optional>

#include "base/files.h"
#include "base/text.h"
#include "cli/generate_request.h"
#include "cli/run_folder.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "cli/worker_process.h"
#include "config/experiment.h"
#include "formats/utf8.h"

namespace stamp {

namespace {

struct Options {
  std::string model, method, view = "rebuild";
  std::optional<std::string> prompt, prompt_file;
  std::vector<std::string> overrides;
  GenerateRequest request;
};

bool is_yaml(const fs::path& path) {
  return path.extension() == ".yaml" || path.extension() == ".yml";
}

// A YAML file, a name of configs/models, or a model's own path.
std::string model_lines(const std::string& model) {
  std::error_code none;
  const fs::path shipped = paper_folder().parent_path() / "models" / (model + ".yaml");
  if (is_yaml(model)) return fmt::format("extends: [{}]\n", Json(fs::absolute(model).string()).dump());
  if (!fs::exists(model, none) && model.find('/') == std::string::npos && fs::exists(shipped, none))
    return fmt::format("extends: [{}]\n", Json(fs::absolute(shipped).string()).dump());
  return fmt::format("model: {{path: {}}}\n", Json(fs::absolute(model).string()).dump());
}

// The settings of an experiment with one trial. Without --method every tensor is at full precision until --set says
// otherwise; with it, the defaults of experiment files hold: 4 bits everywhere.
TrialSpec trial_of(const Options& options, const Catalog& catalog, std::shared_ptr<const Schema>& schema) {
  std::string text = "schema: 1\nname: generate\n" + model_lines(options.model) + "evaluate: [decode_perplexity]\n";
  std::vector<std::string> overrides = options.overrides;
  if (options.method.empty())
    text += "quantization: {weights: {bits: 16}, activations: {bits: 16}, kv_cache: {bits: 16}}\n";
  else
    overrides.insert(overrides.begin(), "quantization.method=" + options.method);
  const Experiment e = parse_experiment(text, fs::current_path() / "stamp generate", overrides, catalog);
  if (!e.axes.empty() || !e.zips.empty() || !e.cells.empty() || !e.exclude.empty())
    throw ConfigError("--set: a text is generated under one setting; there is nothing to sweep");
  for (const std::string& warning : e.warnings) say(warning);
  schema = e.schema;
  return apply(e, {});
}

std::string prompt_of(const Options& options) {
  if (options.prompt) return *options.prompt;
  if (!options.prompt_file) throw ConfigError("nothing to continue: give --prompt TEXT or --prompt-file FILE");
  if (*options.prompt_file != "-") return read_file(*options.prompt_file, std::uint64_t{64} << 20);
  return {std::istreambuf_iterator<char>(std::cin), {}};
}

// A file without a name that the child finds under /dev/fd: a prompt may be longer than an argument can be, and nothing
// is left behind whatever happens to either process.
class HandedOver {
 public:
  explicit HandedOver(const std::string& text) : fd_(::memfd_create("stamp-generate", 0)) {
    for (std::size_t done = 0; fd_ >= 0 && done < text.size();) {
      const ssize_t n = ::write(fd_, text.data() + done, text.size() - done);
      if (n < 0 && errno != EINTR)
        throw Error(ExitCode::internal, fmt::format("cannot hand over the request: {}", std::strerror(errno)));
      if (n > 0) done += static_cast<std::size_t>(n);
    }
    if (fd_ < 0) throw Error(ExitCode::internal, fmt::format("cannot hand over the request: {}", std::strerror(errno)));
  }
  ~HandedOver() { ::close(fd_); }
  HandedOver(const HandedOver&) = delete;
  HandedOver& operator=(const HandedOver&) = delete;
  int descriptor() const { return fd_; }
  std::string path() const { return fmt::format("/dev/fd/{}", fd_); }

 private:
  int fd_;
};

ExitCode run(const Front& front, const Options& options) {
  GenerateRequest request = options.request;
  request.prompt = prompt_of(options);
  request.keep_view = options.view == "keep";
  if (!is_utf8(request.prompt)) throw ConfigError("the prompt is not UTF-8 text");
  std::shared_ptr<const Schema> schema;
  const TrialSpec trial = trial_of(options, front.catalog, schema);
  request.trial = with_paths(trial, *schema);
  const HandedOver handed(to_json(request).dump());
  const WorkerEnd end = run_worker({worker_program(), {"generate", handed.path()}, true}, handed.descriptor());
  if (interrupted()) return ExitCode::interrupted;
  if (!end.exited && end.signal == SIGPIPE) return ExitCode::done;  // the reader has had enough
  if (!end.exited) throw Error(ExitCode::internal, fmt::format("the worker ended with {}", end.text()));
  return static_cast<ExitCode>(end.code);
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
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  verb->add_option("--top-k", r.sampling.top_k, "Draw among the k likeliest; 0: all")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
  verb->add_option("--top-p", r.sampling.top_p, "Draw among the likeliest that together have this probability")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  verb->add_option("--seed", r.sampling.seed, "Seed of the draws")->capture_default_str();
  verb->add_option("--cache-view", options->view,
                   "rebuild: restore packed chunks in every step; keep: hold a float32 copy of them")
      ->check(CLI::IsMember({"rebuild", "keep"}))
      ->capture_default_str();
  verb->add_flag("--stats", r.stats, "Speed, bytes of the cache and average bits on stderr at the end");
}

}  // namespace stamp
