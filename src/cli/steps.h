// What `run`, `plot`, `report` and `check` do, as functions: `reproduce` is several of them in a row.
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/planning.h"

namespace stamp {

struct RunRequest : PlanRequest {
  bool fail_fast = false;
  int threads = 0;  // 0: $STAMP_THREADS, else the worker's own choice
};
// --smoke, --output, --fail-fast and --threads, which both verbs that run something have.
void add_run_options(CLI::App& verb, RunRequest& request);

struct RunOutcome {
  ExitCode code = ExitCode::done;  // as `stamp run` ends
  fs::path folder;
};
// Runs what is missing and prints the table.
RunOutcome run_experiment(const RunRequest& request, const Catalog& catalog);

struct PlotRequest {
  std::string folder, figure;  // "" = all figures
  bool data_only = false;
};
ExitCode plot_run(const PlotRequest& request);

struct ReportRequest {
  std::vector<std::string> folders;
  std::string output;  // "" = beside the run, "-" = stdout
};
ExitCode report_runs(const ReportRequest& request);

// Prints a verdict an expectation; `outside_tolerance` when one misses.
ExitCode check_run(const std::string& run_folder, const fs::path& against, const Catalog& catalog);

}  // namespace stamp
