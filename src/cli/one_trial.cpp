#include "cli/one_trial.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/files.h"
#include "cli/run_folder.h"
#include "cli/terminal.h"
#include "cli/worker_process.h"
#include "config/experiment.h"

namespace stamp {

namespace {

bool is_yaml(const fs::path& path) {
  return path.extension() == ".yaml" || path.extension() == ".yml";
}

std::string model_lines(const std::string& model) {
  std::error_code none;
  const fs::path shipped = paper_folder().parent_path() / "models" / (model + ".yaml");
  if (is_yaml(model)) return fmt::format("extends: [{}]\n", Json(fs::absolute(model).string()).dump());
  if (!fs::exists(model, none) && model.find('/') == std::string::npos && fs::exists(shipped, none))
    return fmt::format("extends: [{}]\n", Json(fs::absolute(shipped).string()).dump());
  return fmt::format("model: {{path: {}}}\n", Json(fs::absolute(model).string()).dump());
}

// A file without a name that the child finds under /dev/fd: a prompt may be longer than an argument can be, and nothing
// is left behind whatever happens to either process.
class HandedOver {
 public:
  explicit HandedOver(const std::string& text) : fd_(::memfd_create("stamp-request", 0)) {
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

}  // namespace

TrialSpec trial_of(const OneTrial& wanted, const Catalog& catalog, std::shared_ptr<const Schema>& schema) {
  std::string text =
      fmt::format("schema: 1\nname: {}\n{}evaluate: [{}]\n", wanted.verb, model_lines(wanted.model), wanted.evaluate);
  std::vector<std::string> overrides = wanted.overrides;
  if (wanted.method.empty())
    text += "quantization: {weights: {bits: 16}, activations: {bits: 16}, kv_cache: {bits: 16}}\n";
  else
    overrides.insert(overrides.begin(), "quantization.method=" + wanted.method);
  const Experiment e = parse_experiment(text, fs::current_path() / ("stamp " + wanted.verb), overrides, catalog);
  if (!e.axes.empty() || !e.zips.empty() || !e.cells.empty() || !e.exclude.empty())
    throw ConfigError("--set: `stamp " + wanted.verb + "` runs under one setting; there is nothing to sweep");
  for (const std::string& warning : e.warnings) say(warning);
  schema = e.schema;
  return apply(e, {});
}

ExitCode run_in_worker(const std::string& verb, const Json& request, ReaderGone reader_gone) {
  const HandedOver handed(request.dump());
  const WorkerEnd end = run_worker({worker_program(), {verb, handed.path()}, true}, handed.descriptor());
  if (interrupted()) return ExitCode::interrupted;
  if (!end.exited && end.signal == SIGPIPE && reader_gone == ReaderGone::done) return ExitCode::done;
  if (!end.exited) throw Error(ExitCode::internal, fmt::format("the worker ended with {}", end.text()));
  return static_cast<ExitCode>(end.code);
}

}  // namespace stamp
