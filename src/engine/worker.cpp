#include "engine/worker.h"

#include <fmt/format.h>

#include <chrono>

#include "base/error.h"
#include "base/text.h"
#include "engine/interrupt.h"
#include "engine/progress.h"
#include "engine/runner.h"
#include "results/provenance.h"

namespace stamp {

namespace {

Record failed_record(const FrozenTrial& trial, const std::string& message) {
  Record record;
  record.id = trial.id;
  record.status = "failed";
  record.spec = trial.spec;
  record.code = code_provenance();
  record.hardware = hardware_provenance();
  record.finished = utc_now();
  record.failure = Failure{"configuration", message, "read"};
  return record;
}

Record run_one(const FrozenTrial& trial, const RunStore& store, const Schema& schema, Session& session, Log& log,
               Progress& progress) {
  TrialRequest request{trial.id, trial.spec, {}, {}};
  request.keep_file = [folder = store.files_path(trial.id)](const std::string& name, std::string_view bytes) {
    make_folder(folder);
    write_file_atomic(folder / name, bytes);
  };
  try {
    request.spec = trial.trial(schema);
  } catch (const ConfigError& e) {  // a plan of another version of the program
    return failed_record(trial, e.what());
  }
  return run_trial(session, request, log, progress);
}

// Passes progress on, and tells running.json how far the trial is, for `stamp watch`: steps of a phase at most every
// two seconds, since a file that is flushed and renamed into place is not free.
class NotedProgress : public Progress {
 public:
  NotedProgress(Progress& shown, fs::path file, std::string id) : shown_(shown), file_(std::move(file)) {
    note_ = {{"id", std::move(id)}, {"started", utc_now()}};
    write();
  }
  void at(const std::string& phase, std::int64_t done, std::int64_t total) override {
    shown_.at(phase, done, total);
    const auto pause =
        note_.value("phase", "") == phase ? std::chrono::milliseconds(2000) : std::chrono::milliseconds(300);
    if (std::chrono::steady_clock::now() - written_ < pause) return;
    note_["phase"] = phase;
    note_["done"] = done;
    note_["total"] = total;
    try {
      write();
    } catch (const StoreError&) {
      // A disk that is full is found out by the record; a note for onlookers must not end the trial.
    }
  }

 private:
  void write() {
    written_ = std::chrono::steady_clock::now();
    write_file_atomic(file_, note_.dump() + "\n");
  }
  Progress& shown_;
  fs::path file_;
  Json note_;
  std::chrono::steady_clock::time_point written_;
};

void log_outcome(const Record& record, Log& log) {
  for (const Metric& m : record.metrics)
    log.info(fmt::format("{} = {}{}{} over {} {}", m.name, number_text(m.value), m.unit.empty() ? "" : " ", m.unit, m.n,
                         m.over));
  for (const auto& [phase, s] : record.timing_s) log.info(fmt::format("time {}: {}", phase, duration_text(s)));
  log.info(fmt::format("peak memory {}; {}", bytes_text(record.peak_memory_bytes), record.status));
}

}  // namespace

std::vector<std::string> read_ids(const fs::path& file) {
  std::vector<std::string> ids;
  for (const std::string& line : split(read_file(file), '\n')) {
    const std::string id = trim(line);
    if (!id.empty()) ids.push_back(id);
  }
  return ids;
}

std::string label_of(const FrozenTrial& trial) {
  std::vector<std::string> parts;
  if (!trial.labels.empty())
    for (const auto& [path, value] : trial.labels.front().items()) {
      // Names speak for themselves; a number or a flag needs its key: "quarot, haar, weights.bits 16".
      const std::vector<std::string> keys = split(path, '.');
      const std::string key = keys.size() > 2 ? keys[keys.size() - 2] + "." + keys.back() : keys.back();
      parts.push_back(value.is_string() ? value.get<std::string>() : key + " " + value.dump());
    }
  return parts.empty() ? trial.id : join(parts, ", ");
}

std::string outcome_of(const Record& record, const std::string& value) {
  if (record.failure) return "failed: " + record.failure->message;
  if (record.metrics.empty()) return "done";
  const Metric* const shown = find_metric(record, value);
  const Metric& m = shown ? *shown : record.metrics.front();
  std::string text = fmt::format("{} {:.6g}{}{}", m.name, m.value, m.unit.empty() ? "" : " ", m.unit);
  if (const Metric* fp = find_metric(record, m.name + "_fp"))
    text += fmt::format(" (full precision {:.6g})", fp->value);
  return text;
}

ExitCode run_trials(const WorkerOptions& options, const FrozenPlan& plan, const Schema& schema, Session& session) {
  const RunStore store(options.folder);
  std::vector<const FrozenTrial*> trials;
  for (const std::string& id : options.ids) {
    trials.push_back(plan.find(id));
    if (!trials.back()) throw DataError(fmt::format("{}: has no trial {}", store.plan_path().string(), id));
  }
  end_on_interrupt(store.running_path().string());
  SweepProgress progress(stderr, options.terminal, options.before + trials.size(), options.before);
  std::size_t failed = 0, missing = 0;
  for (const FrozenTrial* trial : trials) {
    progress.begin(label_of(*trial));
    const auto log = file_log(store.log_path(trial->id).string());
    log->info(fmt::format("trial {}: {}", trial->id, label_of(*trial)));
    const LastWords words(*log);
    NotedProgress noted(progress, store.running_path(), trial->id);
    const Record record = run_one(*trial, store, schema, session, *log, noted);
    {
      const UninterruptedWrite whole;
      store.append(record);
    }
    log_outcome(record, *log);
    for (const std::string& w : record.warnings) progress.line("  " + label_of(*trial) + ": " + w);
    progress.end(outcome_of(record, plan.table.value));
    if (record.failure) {
      ++failed;
      missing += record.failure->kind == "missing" ? 1 : 0;
      if (options.fail_fast) break;
    }
  }
  std::error_code ignored;
  fs::remove(store.running_path(), ignored);
  if (failed == 0) return ExitCode::done;
  return missing == failed ? ExitCode::missing : ExitCode::trials_failed;
}

}  // namespace stamp
