// An experiment expanded into trials, each with its id and the reason for its state. Product sections 3 and 6.
// Expansion is pure: no model is opened, nothing is read or written.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "base/plugin.h"
#include "config/experiment.h"
#include "results/store.h"

namespace stamp {

enum class TrialState { fresh, done, failed, missing };
const char* name_of(TrialState state);  // "new", "done", "failed", "missing"

// Where a trial stands in the sweep: field path -> value as written, axes in the order of the file.
using Labels = Json;

struct PlannedTrial {
  std::string id;
  TrialSpec spec;
  Json canonical;              // what is hashed and goes into the record
  std::vector<Labels> labels;  // one, or more where equal cells merged
  TrialState state = TrialState::fresh;
  std::string reason;  // of failed and missing
};

struct ExcludedCell {
  Labels labels;
  std::string because;   // the file's words, or why a plugin refuses
  bool refused = false;  // by a plugin, not by the file
  std::string by;        // "sweep.yaml:31:7", or "sequence transform wht"
};

struct Plan {
  std::string name;
  std::string source;         // the experiment file as given
  std::string source_digest;  // SHA-256 over what the file, the pieces it extends and --set said
  std::string base;           // folder of the experiment file
  TableSpec table;
  std::vector<PlannedTrial> trials;  // in the order in which they run
  std::vector<ExcludedCell> excluded;
  std::size_t merged = 0;  // cells that were equal to an earlier one
  std::vector<std::string> warnings;
  const PlannedTrial* find(const std::string& id) const;
};

struct ExpandOptions {
  bool smoke = false;  // see smoke_spec
  // The text a name stands for on this machine ("english" -> "wikitext2-test"): a trial is what it reads, so this comes
  // before the id. Null: names stay as written.
  std::function<std::string(const std::string&)> resolve_text;
};

// Axes times zip groups (the last varies fastest), then cells, minus exclusions (which cover cells as well), times
// repeats. Combinations a plugin refuses become explained exclusions. Trials that differ only in settings that cannot
// matter have one id and merge. ConfigError: a combination the schema does not allow, or more than 100,000 of them.
Plan expand(const Experiment& experiment, const Catalog& catalog, const ExpandOptions& options = {});

// Why a plugin cannot do this trial; empty when all can.
struct Refusal {
  std::string by, because;
};
std::optional<Refusal> refusal(const TrialSpec& spec, const Schema& schema);

// One window of at most 256 tokens, two calibration samples: does everything run? Not a result.
TrialSpec smoke_spec(TrialSpec spec);

// `missing` tells why the model or a text of a trial cannot be opened, "" when they can.
using MissingCheck = std::function<std::string(const TrialSpec&)>;
// `stale` tells why a finished trial no longer stands for what the files hold now, "" when it does; it becomes new
// again.
using StaleCheck = std::function<std::string(const TrialSpec&, const Record&)>;
void set_states(Plan& plan, const ReadRecords& records, const MissingCheck& missing, const StaleCheck& stale = nullptr);

// Trials of one group load one model, and prepare their weights once (method, weight settings, calibration, repeat).
std::string model_group(const TrialSpec& spec);
std::string weights_group(const PlannedTrial& trial);

// What the trials that are still to run share.
struct SharedWork {
  std::size_t models = 0, references = 0, weights = 0, calibrations = 0;
};
SharedWork shared_work(const Plan& plan, const Catalog& catalog);

// --only: "path=value,path=value"; conditions on one path are alternatives, paths are all required. ConfigError with
// the place "--only".
class Selection {
 public:
  Selection() = default;
  Selection(const std::string& expression, const Schema& schema);
  bool covers(const TrialSpec& spec, const Schema& schema) const;
  bool empty() const { return exclusion_.when.empty(); }

 private:
  Exclusion exclusion_;
};

}  // namespace stamp
