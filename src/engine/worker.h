// The loop of stamp-worker: trials of a run folder, in the order given, one record each.
//
// Reads DIR/plan.json. Before each trial writes DIR/running.json {"id", "started"}, while it runs with {"phase",
// "done", "total"}, removed at the end; appends to DIR/records.jsonl; logs to DIR/logs/<id>.log. The front program
// holds the folder's lock.
#pragma once
#include <string>
#include <vector>

#include "engine/session.h"
#include "results/store.h"
#include "sweep/frozen.h"

namespace stamp {

struct WorkerOptions {
  fs::path folder;
  std::vector<std::string> ids;
  bool fail_fast = false;
  bool terminal = false;   // stderr is one
  std::size_t before = 0;  // trials of this run that an earlier worker was at: numbering goes on behind them
};

// done, or trials_failed, or missing when every failure was a missing model or text. StoreError when a record cannot
// be written; DataError for a missing or damaged plan or an id that it lacks. An interrupt ends the process with 130 at
// once, without a record of the running trial, or after the record that is being written.
ExitCode run_trials(const WorkerOptions& options, const FrozenPlan& plan, const Schema& schema, Session& session);

// One id per line; blank lines are skipped. DataError.
std::vector<std::string> read_ids(const fs::path& file);
std::string label_of(const FrozenTrial& trial);  // "quarot, haar, weights.bits 16": its place in the sweep
// "perplexity 69.45 (full precision 24.15)" or "failed: ..."; of `value`, which the table shows, where it was measured.
std::string outcome_of(const Record& record, const std::string& value);

}  // namespace stamp
