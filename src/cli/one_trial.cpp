#include "cli/one_trial.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/files.h"
#include "base/text.h"
#include "cli/run_folder.h"
#include "cli/terminal.h"
#include "cli/worker_process.h"
#include "config/experiment.h"

namespace stamp {

namespace {

bool is_yaml(const fs::path& path) {
  return path.extension() == ".yaml" || path.extension() == ".yml";
}

// The YAML piece that a model's name means, "" where the name is a path.
fs::path piece_of(const std::string& model) {
  std::error_code none;
  if (is_yaml(model)) return model;
  const fs::path shipped = paper_folder().parent_path() / "models" / (model + ".yaml");
  const bool named = !fs::exists(model, none) && model.find('/') == std::string::npos && fs::exists(shipped, none);
  return named ? shipped : fs::path();
}

std::string model_lines(const std::string& model) {
  if (const fs::path piece = piece_of(model); !piece.empty())
    return fmt::format("extends: [{}]\n", Json(fs::absolute(piece).string()).dump());
  return fmt::format("model: {{path: {}}}\n", Json(fs::absolute(model).string()).dump());
}

// A setting that cannot change what the verb does is a mistake of whoever wrote it.
void refuse_idle(const OneTrial& wanted) {
  for (const std::string& text : wanted.overrides) {
    const std::string path = trim(text.substr(0, text.find('=')));
    const std::string section = path.substr(0, path.find('.'));
    if (section == "sweep")
      throw ConfigError("--set: `stamp " + wanted.verb + "` runs under one setting; there is nothing to sweep");
    if (std::find(wanted.sections.begin(), wanted.sections.end(), section) == wanted.sections.end())
      throw ConfigError(fmt::format("--set: {}: `stamp {}` does not read it; it reads settings of {}{}", path,
                                    wanted.verb, join(wanted.sections, ", "), wanted.hint));
  }
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
  refuse_idle(wanted);  // behind the reader, which knows the nearest name of one that does not exist
  for (const std::string& warning : e.warnings) say(warning);
  schema = e.schema;
  return apply(e, {});
}

std::string model_path(const std::string& model, const std::string& verb, const Catalog& catalog) {
  if (piece_of(model).empty()) return model;
  std::shared_ptr<const Schema> schema;
  return trial_of({verb, "slot_error", model, "", {}, {}, ""}, catalog, schema).model.path;
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
