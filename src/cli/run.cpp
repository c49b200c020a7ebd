#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

#include "base/text.h"
#include "cli/machine.h"
#include "cli/run_folder.h"
#include "cli/steps.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "cli/worker_process.h"
#include "report/table.h"
#include "results/provenance.h"

namespace stamp {

namespace {

// A run that was killed a moment ago may still be letting go of the folder.
std::unique_ptr<FileLock> lock_with_patience(const RunStore& store) {
  for (int attempt = 0;; ++attempt) {
    try {
      return store.lock();
    } catch (const StoreError&) {
      if (attempt == 10) throw;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
}

// Freezes the plan, united with the one that was there.
FrozenPlan freeze_into(const RunStore& store, const Planned& planned, bool smoke) {
  FrozenPlan frozen = freeze(planned.plan, *planned.schema);
  frozen.smoke = smoke;
  std::error_code ec;
  if (fs::exists(store.plan_path(), ec)) {
    try {
      for (const std::string& line : unite(frozen, read_plan(store.plan_path()))) say(line);
    } catch (const DataError& error) {
      throw DataError(
          fmt::format("{}\nMove this file away and run again: the plan is made anew, and records in the folder are "
                      "kept and counted.",
                      error.what()));
    }
  }
  write_plan(store.plan_path(), frozen);
  return frozen;
}

Record blank_record(const FrozenPlan& plan, const std::string& id) {
  Record r;
  r.id = id;
  if (const FrozenTrial* t = plan.find(id)) {
    r.spec = t->spec;
    r.model = t->spec.value("model", Json::object());
  }
  r.code = code_provenance();
  r.hardware = hardware_provenance();
  return r;
}

void write_tables(const RunStore& store, const Table& table) {
  write_file_atomic(store.tables_folder() / "table.md", markdown(table));
  write_file_atomic(store.tables_folder() / "table.tex", latex(table));
  write_file_atomic(store.tables_folder() / "table.csv", csv(table));
}

// Table to stdout and into the folder; a table that cannot be made (mixed protocols, a value that nothing measured) is
// said, the records stand.
bool show_table(const RunStore& store, const FrozenPlan& plan, const ReadRecords& records) {
  try {
    const std::optional<PaperEntry> paper = paper_of(plan.table);
    const Table table = make_table(report_source(plan, records), plan.table.layout, paper ? &*paper : nullptr);
    data(markdown(table));
    write_tables(store, table);
    return true;
  } catch (const ConfigError& error) {
    say(fmt::format("no table: {}", error.what()));
    return false;
  }
}

ExitCode finish(const RunStore& store, const FrozenPlan& plan, const std::vector<std::string>& selected,
                ExitCode worker) {
  const ReadRecords records = store.read(false);
  for (const std::string& notice : records.notices) say(notice);
  std::vector<std::string> failed;
  std::size_t done = 0;
  for (const std::string& id : selected) {
    const Record* r = records.find(id);
    if (r && r->status == "done") ++done;
    if (r && r->status == "failed") {
      std::string why = r->failure ? r->failure->kind + ": " + r->failure->message : "";
      std::replace(why.begin(), why.end(), '\n', ' ');
      failed.push_back(fmt::format("  {}  {}", id, why));
    }
  }
  const bool table = show_table(store, plan, records);
  if (!failed.empty()) {
    say(fmt::format("{} of {} trials failed:", failed.size(), selected.size()));
    for (const std::string& line : failed) say(line);
  }
  if (worker == ExitCode::interrupted) {
    say(fmt::format("interrupted: {} of {} trials done; the same command continues", done, selected.size()));
    return worker;
  }
  if (worker == ExitCode::store || worker == ExitCode::missing || worker == ExitCode::internal) return worker;
  if (!failed.empty()) return ExitCode::trials_failed;
  return table ? ExitCode::done : ExitCode::usage;
}

// Those of `ids` that have no record more than before.
std::vector<std::string> without_record(const std::vector<std::string>& ids, const ReadRecords& before,
                                        const ReadRecords& now) {
  const auto writes = [](const ReadRecords& records, const std::string& id) {
    const auto it = records.writes.find(id);
    return it == records.writes.end() ? 0 : it->second;
  };
  std::vector<std::string> left;
  for (const std::string& id : ids)
    if (writes(now, id) == writes(before, id)) left.push_back(id);
  return left;
}

// Runs `todo`. What is left when it stops before its end stays in the queue's file, for `stamp watch`.
ExitCode work(const RunStore& store, const std::vector<std::string>& todo, const RunRequest& options,
              const FrozenPlan& plan, const ReadRecords& before, int lock) {
  ExitCode code =
      run_all(store, todo, options.fail_fast, lock, [&](const std::string& id) { return blank_record(plan, id); }).code;
  const std::vector<std::string> left = without_record(todo, before, store.read(false));
  if (left.empty()) return code;
  const bool stopped_at_failure = options.fail_fast && left.size() < todo.size();
  if (!stopped_at_failure && (code == ExitCode::done || code == ExitCode::trials_failed)) {
    fail(fmt::format("the worker ended as if it were done and left {} of {} trials without a record: {}", left.size(),
                     todo.size(), join(left, ", ")));
    code = ExitCode::internal;
  }
  try {
    write_file_atomic(queue_path(store), join(left, "\n") + "\n");
  } catch (const StoreError& error) {
    say(error.what());  // the disk may be what stopped the run
  }
  return code;
}

ExitCode run(const Front& front, const RunRequest& request) {
  return run_experiment(request, front.catalog).code;
}

}  // namespace

RunOutcome run_experiment(const RunRequest& options, const Catalog& catalog) {
  // The worker, and the speed kept of this machine, go by the variable: one way in, and the option wins.
  if (options.threads > 0) setenv("STAMP_THREADS", std::to_string(options.threads).c_str(), 1);
  Planned planned = plan_experiment(options, catalog);
  const RunStore store(planned.folder);
  store.make_folders();
  const std::unique_ptr<FileLock> lock = lock_with_patience(store);
  store.test_write();
  if (const auto said = store.repair()) say(*said);
  const ReadRecords records = store.read(false);
  for (const std::string& notice : records.notices) say(notice);

  Surroundings around(catalog, planned.plan.base);
  set_states(
      planned.plan, records, [&](const TrialSpec& s) { return around.missing(s); },
      [&](const TrialSpec& s, const Record& r) { return around.stale(s, r); });
  const Plan part = selected_part(planned);
  const Estimate guess = estimate(
      part, records, [&](const TrialSpec& s) { return around.size(s); }, catalog, this_machine(Measure::never));
  say(selected_sentence(planned, part, shared_work(part, catalog), guess));
  const FrozenPlan frozen = freeze_into(store, planned, options.smoke);

  std::vector<std::string> selected, todo, missing;
  for (const PlannedTrial& t : part.trials) {
    selected.push_back(t.id);
    if (t.state == TrialState::missing) {
      const std::string line = "  " + t.reason;
      if (std::find(missing.begin(), missing.end(), line) == missing.end()) missing.push_back(line);
    } else if (t.state != TrialState::done) {
      todo.push_back(t.id);
    }
  }
  if (selected.empty()) say("the plan has no trial to run");
  if (!missing.empty()) {
    say("skipped, because something they need is missing:");
    for (const std::string& line : missing) say(line);
  }
  ExitCode worker = ExitCode::done;
  std::error_code ec;
  fs::remove(queue_path(store), ec);  // of an earlier run
  if (!todo.empty()) worker = work(store, todo, options, frozen, records, lock->descriptor());
  const ExitCode code = finish(store, frozen, selected, worker);
  // Nothing at all could run, and nothing had run before.
  const bool all_missing = !missing.empty() && todo.empty() &&
                           std::none_of(planned.plan.trials.begin(), planned.plan.trials.end(),
                                        [](const PlannedTrial& t) { return t.state == TrialState::done; });
  return {code == ExitCode::done && all_missing ? ExitCode::missing : code, planned.folder};
}

void add_run_options(CLI::App& verb, RunRequest& request) {
  verb.add_flag("--smoke", request.smoke,
                "Does everything run? One short window, the first trial of every method; the folder ends in -smoke");
  verb.add_option("--output", request.output, "Run folder (default: runs/<name>)");
  verb.add_flag("--fail-fast", request.fail_fast, "Stop at the first failed trial");
  verb.add_option(
          "--threads", request.threads,
          "Threads of the numeric kernels (default: $STAMP_THREADS, else $OMP_NUM_THREADS, else all usable cores)")
      ->check(CLI::Range(1, 4096));
}

void add_run(CLI::App& app, Action& action) {
  auto options = std::make_shared<RunRequest>();
  CLI::App* verb =
      add_verb(app, action, "run", "Run what is missing and print the table; the same command continues after any stop",
               "  stamp run experiments/quickstart/sweep.yaml\n"
               "  stamp run experiments/llm_table2/sweep.yaml --set data.windows=4 --only quantization.method=rtn "
               "--output runs/rtn",
               options, run);
  verb->add_option("FILE", options->file, "Experiment file")->required();
  verb->add_option("--set", options->overrides, "Override one setting, a.b=value; may be repeated")
      ->allow_extra_args(false);
  verb->add_option("--only", options->only, "Only these trials, path=value,path=value");
  add_run_options(*verb, *options);
}

}  // namespace stamp
