#include <fmt/format.h>

#include "base/text.h"
#include "cli/figures.h"
#include "cli/run_folder.h"
#include "cli/steps.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "cli/worker_process.h"

namespace stamp {

namespace {

// The environment that scripts/setup.sh makes has matplotlib; any other python3 may.
fs::path python() {
  std::error_code ec;
  const fs::path own = scripts_folder() / ".." / ".venv" / "bin" / "python";
  return fs::exists(own, ec) ? own : fs::path("/usr/bin/env");
}

ExitCode run(const Front&, const PlotRequest& request) {
  return plot_run(request);
}

}  // namespace

ExitCode plot_run(const PlotRequest& options) {
  if (!is_run_folder(options.folder) && is_committed_result(options.folder))
    throw ConfigError(fmt::format("{}: a committed result is not drawn again: its figures lie in {}", options.folder,
                                  (fs::path(options.folder) / "plots").string()));
  const RunFolder folder = open_run(options.folder, true);
  const ReportSource source = report_source(folder.plan, folder.records);
  const fs::path plots = folder.store.plots_folder();
  const std::vector<std::string> written = write_plot_data(folder.store, source);
  say(fmt::format("{}: {}", plots.string(), join(written, ", ")));
  if (options.data_only) return ExitCode::done;

  const fs::path script = scripts_folder() / "plot.py";
  std::error_code ec;
  if (!fs::exists(script, ec))
    throw DataError(
        fmt::format("{}: the plotting script is missing; set STAMP_SCRIPTS to the scripts folder (the data are in {})",
                    script.string(), plots.string()));
  const fs::path interpreter = python();
  WorkerCommand command{interpreter, {}, false};
  if (interpreter == "/usr/bin/env") command.arguments.push_back("python3");
  command.arguments.push_back(script.string());
  command.arguments.push_back(plots.string());
  if (!options.figure.empty()) {
    command.arguments.push_back("--figure");
    command.arguments.push_back(options.figure);
  }
  const WorkerEnd end = run_worker(command, -1);
  if (interrupted()) return ExitCode::interrupted;
  if (!end.exited || end.code != 0)
    throw Error(end.exited && end.code == 2 ? ExitCode::usage : ExitCode::internal,
                fmt::format("{} ended with {}; the data it draws are in {}", script.filename().string(), end.text(),
                            plots.string()));
  if (options.figure.empty()) remove_stale_figures(folder.store, written);
  return ExitCode::done;
}

void add_plot(CLI::App& app, Action& action) {
  auto options = std::make_shared<PlotRequest>();
  CLI::App* verb = add_verb(app, action, "plot", "Write the data of the plots (CSV) and draw them (PNG and SVG)",
                            "  stamp plot runs/quickstart\n"
                            "  stamp plot runs/quickstart --figure bound",
                            options, run);
  verb->add_option("DIR", options->folder, "Run folder")->required();
  verb->add_option("--figure", options->figure,
                   "One figure: perplexity, bound, energy, curves, images, steps or blocks (default: all)");
  verb->add_flag("--data-only", options->data_only, "Write the CSV files and draw nothing");
}

}  // namespace stamp
