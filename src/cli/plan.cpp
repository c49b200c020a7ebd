#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "cli/machine.h"
#include "cli/planning.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "report/source.h"
#include "sweep/frozen.h"

namespace stamp {

namespace {

struct Options : PlanRequest {
  std::string format = "text";
  bool explain = false;
};

std::vector<std::string> label_paths(const Plan& plan) {
  std::vector<std::string> paths;
  const auto add = [&](const Labels& labels) {
    for (const auto& [path, value] : labels.items())
      if (std::find(paths.begin(), paths.end(), path) == paths.end()) paths.push_back(path);
  };
  for (const PlannedTrial& t : plan.trials)
    for (const Labels& l : t.labels) add(l);
  for (const ExcludedCell& x : plan.excluded) add(x.labels);
  return paths;
}

std::vector<std::string> label_cells(const Labels& labels, const std::vector<std::string>& paths) {
  std::vector<std::string> cells;
  for (const std::string& p : paths) {
    const auto it = labels.find(p);
    cells.push_back(it == labels.end() ? "" : setting_text(*it));
  }
  return cells;
}

std::string plan_text(const Plan& plan, const Selection& only, const Schema& schema) {
  const std::vector<std::string> paths = label_paths(plan);
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> head{"trial", "state"};
  for (const std::string& p : paths) head.push_back(short_name(p, paths));
  head.push_back("reason");
  rows.push_back(head);
  for (const PlannedTrial& t : plan.trials) {
    for (std::size_t i = 0; i < t.labels.size(); ++i) {
      std::vector<std::string> row{i == 0 ? t.id : "", i == 0 ? name_of(t.state) : "merged"};
      for (const std::string& c : label_cells(t.labels[i], paths)) row.push_back(c);
      row.push_back(i > 0                         ? "equal to the trial above"
                    : only.covers(t.spec, schema) ? t.reason
                                                  : "not selected by --only");
      rows.push_back(std::move(row));
    }
  }
  for (const ExcludedCell& x : plan.excluded) {
    std::vector<std::string> row{"", x.refused ? "refused" : "excluded"};
    for (const std::string& c : label_cells(x.labels, paths)) row.push_back(c);
    row.push_back(x.refused ? x.by + ": " + x.because : x.because);
    rows.push_back(std::move(row));
  }
  return columns(rows);
}

// Seconds by phase of every trial still to run, and what the largest one holds in memory.
std::string explained(const Estimate& estimate) {
  if (estimate.trials.empty()) return "";
  const Parts phases = estimate.parts();
  std::vector<std::vector<std::string>> rows{{"trial", "walk"}};
  for (const auto& [phase, s] : phases) rows[0].push_back(phase);
  rows[0].push_back("total");
  const auto seconds_row = [&](const std::string& id, const std::string& walk, const Parts& parts) {
    std::vector<std::string> row{id, walk};
    for (const auto& [phase, unused] : phases) {
      const auto it = std::find_if(parts.begin(), parts.end(), [&p = phase](const auto& x) { return x.first == p; });
      row.push_back(it == parts.end() ? "" : duration_text(it->second));
    }
    row.push_back(duration_text(sum(parts)));
    rows.push_back(std::move(row));
  };
  for (const TrialEstimate& t : estimate.trials) seconds_row(t.id, t.streamed ? "streamed" : "in memory", t.seconds);
  seconds_row("all", "", phases);
  std::string text = "Time:\n" + columns(rows);
  const TrialEstimate& most = *estimate.largest();
  std::vector<std::vector<std::string>> memory;
  for (const auto& [part, bytes] : most.bytes) memory.push_back({part, bytes_text(static_cast<std::uint64_t>(bytes))});
  memory.push_back({"peak", bytes_text(static_cast<std::uint64_t>(sum(most.bytes)))});
  return text + fmt::format("\nMemory of trial {}:\n", most.id) + columns(memory);
}

// What a run would say of the plan that is in the folder: that it is another experiment's, or has changed.
void say_what_changes(const Planned& planned) {
  const fs::path file = RunStore(planned.folder).plan_path();
  std::error_code ec;
  if (!fs::exists(file, ec)) return;
  FrozenPlan frozen = freeze(planned.plan, *planned.schema);
  try {
    for (const std::string& line : unite(frozen, read_plan(file))) say(line);
  } catch (const DataError& error) {
    say(fmt::format("{}; a run into this folder would stop at it", error.what()));
  }
}

ExitCode run(const Front& front, const Options& options) {
  Planned planned = plan_experiment(options, front.catalog);
  Surroundings around(front.catalog, planned.plan.base);
  const ReadRecords records = RunStore(planned.folder).read(false);
  for (const std::string& notice : records.notices) say(notice);
  set_states(
      planned.plan, records, [&](const TrialSpec& s) { return around.missing(s); },
      [&](const TrialSpec& s, const Record& r) { return around.stale(s, r); });
  const Plan part = selected_part(planned);
  const SharedWork work = shared_work(part, front.catalog);
  const Machine machine = this_machine(Measure::if_unknown);
  const Estimate guess = estimate(
      part, records, [&](const TrialSpec& s) { return around.size(s); }, front.catalog, machine);

  say_what_changes(planned);
  if (options.format == "json") {
    data(to_json(freeze(planned.plan, *planned.schema)).dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
    return ExitCode::done;
  }
  data(selected_sentence(planned, part, work, guess) + "\n\n" + plan_text(planned.plan, planned.only, *planned.schema));
  const auto n = [](std::size_t count, const char* one) {
    return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s");
  };
  if (work.models > 0)
    data(fmt::format("\nShared: {}, {}, {}, {}.\n", n(work.models, "model load"),
                     n(work.references, "full-precision reference"), n(work.weights, "set") + " of prepared weights",
                     n(work.calibrations, "calibration")));
  if (guess.seconds > 0)
    data(fmt::format("The estimate of time rests on {}.\n",
                     guess.scaled > 0   ? "finished trials of the same model"
                     : machine.measured ? "this machine's measured speed; finished trials make it better"
                                        : "the number of cores alone; finished trials make it better"));
  if (options.explain) data("\n" + explained(guess));
  data(fmt::format("Run folder: {}\n", planned.folder.string()));
  return ExitCode::done;
}

}  // namespace

void add_plan(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = add_verb(
      app, action, "plan", "What a run would do: trials with state and reason, exclusions, shared work, time, memory",
      "  stamp plan experiments/quickstart/sweep.yaml\n"
      "  stamp plan experiments/llm_table2/sweep.yaml --set data.windows=4 --only quantization.method=rtn",
      options, run);
  verb->add_option("FILE", options->file, "Experiment file")->required();
  verb->add_option("--set", options->overrides, "Override one setting, a.b=value; may be repeated")
      ->allow_extra_args(false);
  verb->add_option("--only", options->only, "Only these trials, path=value,path=value");
  verb->add_option("--output", options->output, "Run folder (default: runs/<name>)");
  verb->add_flag("--smoke", options->smoke, "The plan of a smoke run");
  verb->add_flag("--explain", options->explain, "Also the parts of the estimate: seconds by phase, memory by use");
  verb->add_option("--format", options->format, "text or json")->check(CLI::IsMember({"text", "json"}));
}

}  // namespace stamp
