// From an experiment file to a plan with states: what `plan` and `run` share.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "results/store.h"
#include "sweep/estimate.h"
#include "sweep/plan.h"

namespace stamp {

struct PlanRequest {
  std::string file;
  std::vector<std::string> overrides;  // --set
  std::string only;
  std::string output;
  bool smoke = false;
};

// What is known of models and texts on this machine; every file is looked at once.
class Surroundings {
 public:
  Surroundings(const Catalog& catalog, std::string base) : catalog_(catalog), base_(std::move(base)) {}
  // "" when model and texts can be opened and go with what the trial wants of them.
  std::string missing(const TrialSpec& spec);
  // "" while the record was made from the model and text that are there now; a file that is gone proves nothing.
  std::string stale(const TrialSpec& spec, const Record& record);
  TrialSize size(const TrialSpec& spec);

 private:
  struct ModelFacts {
    std::string missing;
    ModelShape shape;
    std::int64_t positions = 0;  // that a language model was made for; 0: not known
  };
  struct TaskFacts {
    std::string missing, digest;
    std::vector<double> shared, apart;  // tokens of every item, about: contexts once, or with every candidate
  };
  const ModelFacts& model(const std::string& path);
  const TaskFacts& task_facts(const std::string& task, const std::string& source);
  const std::string& text_missing(const std::string& text);
  double text_bytes(const std::string& text);     // DataError
  void warn_of_positions(const TrialSpec& spec);  // once for a model and context
  const Catalog& catalog_;
  std::string base_;
  std::map<std::string, ModelFacts> models_;
  std::map<std::string, std::string> texts_;
  std::map<std::string, std::string> model_digests_, text_digests_;
  std::map<std::string, double> text_bytes_;
  std::set<std::string> warned_;
  std::map<std::pair<std::string, std::string>, TaskFacts> tasks_;
};

struct Planned {
  Plan plan;
  std::shared_ptr<const Schema> schema;
  Selection only;
  fs::path folder;
};
// Reads and expands; says warnings on stderr. ConfigError, also when `--only` leaves no trial.
Planned plan_experiment(const PlanRequest& request, const Catalog& catalog);
// The plan of the trials that `--only` selects, for counting and estimates; folders hold the whole one.
Plan selected_part(const Planned& planned);
// plan_sentence of that part, and how many trials it leaves out.
std::string selected_sentence(const Planned& planned, const Plan& part, const SharedWork& work, const Estimate& guess);

}  // namespace stamp
