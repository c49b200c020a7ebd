// plan.json of a run folder: the plan as it was when the run was last started. Editing the experiment file afterwards
// changes nothing until the next `stamp run`.
#pragma once
#include <string>
#include <vector>

#include "sweep/plan.h"

namespace stamp {

struct FrozenTrial {
  std::string id;
  Json spec;               // canonical, as in the record
  Json paths;              // {model, data_text, calibration_text}: where this machine has them
  std::string model_path;  // = paths.model
  std::string base;        // folder of the experiment file, for relative text paths
  std::vector<Labels> labels;
  std::string missing;                          // why it cannot run here, "" when it can
  TrialSpec trial(const Schema& schema) const;  // ready to run
};

// Trials of an earlier version of the experiment that the present one does not make. Their records are kept.
struct VanishedTrial {
  std::string id;
  Json spec;
  std::vector<Labels> labels;
  std::string from;  // name of the experiment that made it; "" where an older program left the trial here
};

struct FrozenPlan {
  std::string name;
  std::string source;
  std::string source_digest;
  TableSpec table;
  std::vector<FrozenTrial> trials;  // in the order in which they run
  std::vector<ExcludedCell> excluded;
  std::vector<VanishedTrial> vanished;
  bool smoke = false;
  const FrozenTrial* find(const std::string& id) const;
};

FrozenPlan freeze(const Plan& plan, const Schema& schema);
// The union rule: every trial of `now`, in its order, and what `before` had besides as vanished. A vanished trial that
// `now` makes again is an ordinary one again. Says what changed, nothing when both come from the same experiment.
std::vector<std::string> unite(FrozenPlan& now, const FrozenPlan& before);

Json to_json(const FrozenPlan& plan);
FrozenPlan plan_from_json(const Json& json, const std::string& file);  // DataError names the file and the field
FrozenPlan read_plan(const fs::path& path);                            // DataError; missing: "is not a run folder"
void write_plan(const fs::path& path, const FrozenPlan& plan);         // atomic; StoreError

}  // namespace stamp
