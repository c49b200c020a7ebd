// A shipped experiment from its file to what a reader looks at: run, plots, page, check, and what moved since its
// result was committed. Without a name, what there is and how far it is.
#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "base/text.h"
#include "cli/machine.h"
#include "cli/run_folder.h"
#include "cli/steps.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "config/schema.h"
#include "report/changes.h"
#include "sweep/shipped.h"

namespace stamp {

namespace {

struct Options : RunRequest {
  std::string name;
  bool no_plots = false;
};

// Below the present folder as it would be typed, for messages and the frozen plan.
fs::path short_path(const fs::path& path) {
  std::error_code ec;
  const fs::path relative = fs::proximate(path, ec);
  return ec || relative.empty() || *relative.begin() == ".." ? path : relative;
}

// What a trial's model waits for: "Llama-3-8B (set STAMP_LLAMA_3_8B)".
std::string need(const TrialSpec& spec, const std::string& missing) {
  std::error_code ec;
  if (missing.empty() || fs::exists(spec.model.path, ec)) return spec.model.name;
  const std::string variable = unset_variable(spec.model.path);
  return spec.model.name + (variable.empty() ? " (not found)" : " (set " + variable + ")");
}

std::string state_text(const Plan& plan, const fs::path& folder) {
  if (!is_run_folder(folder.string())) return "never run";
  const auto in = [&](TrialState state) {
    return std::count_if(plan.trials.begin(), plan.trials.end(),
                         [&](const PlannedTrial& t) { return t.state == state; });
  };
  const auto failed = in(TrialState::failed);
  return fmt::format("{} of {} done{}", in(TrialState::done), plan.trials.size(),
                     failed > 0 ? fmt::format(", {} failed", failed) : "");
}

// "9 trials, 3 min, 2026-11-24"
std::string committed_text(const fs::path& folder) {
  if (!is_committed_result(folder)) return "";
  try {
    const RunFolder committed = open_committed(folder);
    double seconds = 0;
    std::string finished;
    for (const Record& r : committed.records.records) {
      for (const auto& [phase, s] : r.timing_s) seconds += s;
      finished = std::max(finished, r.finished);
    }
    return fmt::format("{} trials, {}, {}", committed.plan.trials.size(), duration_text(seconds),
                       finished.substr(0, 10));
  } catch (const Error& error) {
    return error.what();
  }
}

// One experiment's line of the list; what is missing besides models goes to `missing`.
std::vector<std::string> listed(const ShippedExperiment& shipped, const Catalog& catalog,
                                std::vector<std::string>& missing) {
  const std::string committed = committed_text(results_folder() / shipped.name);
  try {
    PlanRequest request;
    request.file = short_path(shipped.file).string();
    Planned planned = plan_experiment(request, catalog);
    Surroundings around(catalog, planned.plan.base);
    const ReadRecords records = RunStore(planned.folder).read(false);
    // Without looking whether models and texts have changed since: that reads them.
    set_states(planned.plan, records, [&](const TrialSpec& s) { return around.missing(s); });
    const Estimate left = estimate(
        planned.plan, records, [&](const TrialSpec& s) { return around.size(s); }, catalog,
        this_machine(Measure::never));
    std::vector<std::string> needs;
    for (const PlannedTrial& t : planned.plan.trials) {
      const std::string why = t.state == TrialState::missing ? t.reason : "";
      const std::string text = need(t.spec, why);
      if (std::find(needs.begin(), needs.end(), text) == needs.end()) needs.push_back(text);
      const std::string line = shipped.name + ": " + why;
      if (!why.empty() && text == t.spec.model.name && std::find(missing.begin(), missing.end(), line) == missing.end())
        missing.push_back(line);
    }
    return {shipped.name,
            std::to_string(planned.plan.trials.size()),
            join(needs, ", "),
            left.seconds > 0 ? "about " + duration_text(left.seconds) : "",
            state_text(planned.plan, planned.folder),
            committed};
  } catch (const Error& error) {
    missing.push_back(fmt::format("{}: {}", shipped.name, error.what()));
    return {shipped.name, "", "", "", "cannot be planned", committed};
  }
}

ExitCode list(const std::vector<ShippedExperiment>& all, const Catalog& catalog) {
  std::vector<std::vector<std::string>> rows{{"experiment", "trials", "model", "time left", "here", "committed"}};
  std::vector<std::string> missing;
  for (const ShippedExperiment& shipped : all) rows.push_back(listed(shipped, catalog, missing));
  data(columns(rows));
  if (!missing.empty()) data("\nMissing:\n  " + join(missing, "\n  ") + "\n");
  return ExitCode::done;
}

// A step whose failure is said and must not hide what comes behind it.
ExitCode attempt(const std::function<ExitCode()>& step) {
  try {
    return step();
  } catch (const Error& error) {
    fail(error.what());
    return error.code();
  }
}

ExitCode check_shipped(const ShippedExperiment& shipped, const fs::path& run, const Catalog& catalog) {
  if (shipped.expected.empty()) {
    say("no expectations belong to this experiment: nothing to check");
    return ExitCode::done;
  }
  say(fmt::format("checking against {}", short_path(shipped.expected).string()));
  data("\n");
  return check_run(run.string(), shipped.expected, catalog);
}

ExitCode show_changes(const ShippedExperiment& shipped, const fs::path& folder) {
  const fs::path committed = results_folder() / shipped.name;
  if (!is_committed_result(committed)) {
    say(fmt::format("{}: no committed result to compare with", committed.string()));
    return ExitCode::done;
  }
  const RunFolder before = open_committed(committed), now = open_run(folder.string(), false);
  const Changes c = changes(planned_records(before), planned_records(now), now.plan.table.value);
  data(fmt::format("\nAgainst {}: {}\n", short_path(committed).string(), changes_line(c)));
  for (const SettingDifference& d : c.whole)
    data(fmt::format("  {}: {} | {}\n", d.path, d.a.empty() ? "-" : d.a, d.b.empty() ? "-" : d.b));
  data(columns(change_rows(c)));
  if (!c.only_before.empty()) data("Only committed:\n  " + join(c.only_before, "\n  ") + "\n");
  if (!c.only_now.empty()) data("Only in this run:\n  " + join(c.only_now, "\n  ") + "\n");
  return ExitCode::done;
}

ExitCode reproduce(const ShippedExperiment& shipped, const Options& options, const Catalog& catalog) {
  // A fault in the expectations is told before the hours of a run, not after them.
  const Schema schema(catalog);
  if (!shipped.expected.empty()) read_expectations(shipped.expected, &schema);
  RunRequest request = options;
  request.file = short_path(shipped.file).string();
  const RunOutcome run = run_experiment(request, catalog);
  // A table that is refused after the run (usage) takes nothing from the records.
  const bool stands = run.code == ExitCode::done || run.code == ExitCode::trials_failed || run.code == ExitCode::usage;
  if (!stands) return run.code;

  ExitCode pictures = ExitCode::done;
  if (!options.no_plots) pictures = attempt([&] { return plot_run({run.folder.string(), "", false}); });
  if (pictures == ExitCode::interrupted) return pictures;
  const ExitCode page = attempt([&] { return report_runs({{run.folder.string()}, ""}); });
  ExitCode checked = ExitCode::done, compared = ExitCode::done;
  if (options.smoke) {
    say("a smoke run's numbers are no results: neither checked nor compared");
  } else {
    checked = attempt([&] { return check_shipped(shipped, run.folder, catalog); });
    compared = attempt([&] { return show_changes(shipped, run.folder); });
  }
  // Trials without a result come first: what holds or misses beside them is not the whole.
  for (const ExitCode code : {run.code, checked, compared, page, pictures})
    if (code != ExitCode::done) return code;
  return ExitCode::done;
}

ExitCode run(const Front& front, const Options& options) {
  const fs::path folder = experiments_folder();
  const std::vector<ShippedExperiment> all = shipped_experiments(folder);
  if (!options.name.empty()) return reproduce(find_shipped(all, options.name, folder), options, front.catalog);
  if (options.smoke || options.fail_fast || options.no_plots || options.threads > 0 || !options.output.empty())
    throw ConfigError(
        "reproduce: these options need the NAME of an experiment; without one the experiments are listed");
  return list(all, front.catalog);
}

}  // namespace

void add_reproduce(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = add_verb(app, action, "reproduce",
                            "Run a shipped experiment, draw it, check it and show what moved; without NAME, list them",
                            "  stamp reproduce quickstart\n"
                            "  stamp reproduce llm_table2_gemma-3-270m --output runs/again --threads 4",
                            options, run);
  verb->add_option("NAME", options->name, "Name of the run: of the folder, or of a further file in it");
  add_run_options(*verb, *options);
  verb->add_flag("--no-plots", options->no_plots, "Draw no figures; the page then has none of those that need Python");
  verb->footer(
      verb->get_footer() +
      "\n\nWithout NAME: every experiment with its trials, the model it needs, the time that is left, how far it\n"
      "is in runs/, and what is committed in results/. With NAME: runs what is missing (after any stop the same\n"
      "command continues), draws the figures, writes report.html, holds the run against the expectations beside\n"
      "the experiment's file, and lists every trial's value before and now, largest change first.\n"
      "Exit codes are those of run and check: 3 when trials failed, else 4 when an expectation misses.");
}

}  // namespace stamp
