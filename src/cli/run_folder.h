// Run folders as the verbs see them.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "report/reference.h"
#include "report/source.h"
#include "results/store.h"
#include "sweep/frozen.h"

namespace stamp {

struct RunFolder {
  RunStore store{""};
  FrozenPlan plan;
  ReadRecords records;
};
// A run folder, or a committed result (results/NAME of scripts/publish.py), whose plan and records are packed.
// DataError when there is no plan. Notices of damaged lines are said on stderr.
RunFolder open_run(const std::string& folder, bool with_slots);
bool has_results(const std::string& folder);  // one or the other
// The trials that the present or the last run has set out to do, an id a line; gone when it came to its end.
fs::path queue_path(const RunStore& store);
bool is_committed_result(const fs::path& folder);
RunFolder open_committed(const fs::path& folder, bool with_slots = false);
// The run folders and committed results in a folder, by name, one at a time. Gives those that cannot be read with the
// reason, so that one damaged plan does not hide the others. DataError when there are none.
struct DamagedRun {
  std::string folder, why;
};
using RunVisitor = std::function<void(const std::string& folder, const RunFolder& run)>;
std::vector<DamagedRun> each_run(const std::string& folder, bool with_slots, const RunVisitor& visit);
// The newest records of the plan's trials, in its order.
std::vector<Record> planned_records(const RunFolder& run);

ReportSource report_source(const FrozenPlan& plan, const ReadRecords& records);
// The table's paper entry, if it names one; a missing configs folder is said and costs the paper columns only.
std::optional<PaperEntry> paper_of(const TableSpec& table);
// Whether there is what the table of an experiment `file` names, before hours go by: its layout and, where the configs
// folder is at hand, its paper entry. ConfigError with the nearest names.
void check_table(const TableSpec& table, const std::string& file);

// "DIR/TRIAL": the trial by its id or the first letters of it. ConfigError lists what there is.
struct TrialPlace {
  RunFolder run;
  std::string id;
};
TrialPlace find_trial(const std::string& argument);
bool is_run_folder(const std::string& path);

// configs/paper of $STAMP_CONFIGS, of the sources, or beside the program; the others likewise ($STAMP_SCRIPTS,
// $STAMP_EXPERIMENTS, $STAMP_RESULTS).
fs::path paper_folder();
fs::path scripts_folder();
fs::path experiments_folder();
fs::path results_folder();
fs::path program_folder();  // of this executable

}  // namespace stamp
