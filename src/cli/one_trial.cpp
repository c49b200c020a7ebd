#include "cli/one_trial.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/files.h"
#include "cli/run_folder.h"
#include "cli/terminal.h"
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

HandedOver::HandedOver(const std::string& text) : fd_(::memfd_create("stamp-request", 0)) {
  for (std::size_t done = 0; fd_ >= 0 && done < text.size();) {
    const ssize_t n = ::write(fd_, text.data() + done, text.size() - done);
    if (n < 0 && errno != EINTR)
      throw Error(ExitCode::internal, fmt::format("cannot hand over the request: {}", std::strerror(errno)));
    if (n > 0) done += static_cast<std::size_t>(n);
  }
  if (fd_ < 0) throw Error(ExitCode::internal, fmt::format("cannot hand over the request: {}", std::strerror(errno)));
}

HandedOver::~HandedOver() {
  ::close(fd_);
}

std::string HandedOver::path() const {
  return fmt::format("/dev/fd/{}", fd_);
}

}  // namespace stamp
