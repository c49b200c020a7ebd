#include "explain/explain.h"

#include <fmt/format.h>

#include "base/text.h"
#include "cli/explaining.h"
#include "cli/planning.h"
#include "cli/run_folder.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

namespace stamp {

namespace {

struct Options {
  std::string trial, file, folder, format = "text";
  std::vector<std::string> overrides;
};

Explanation of_folder(const std::string& argument) {
  const TrialPlace place = find_trial(argument);
  const Record* record = place.run.records.find(place.id);
  const FrozenTrial* planned = place.run.plan.find(place.id);
  const bool done = record && record->status == "done";
  const Json spec = record ? record->spec : planned ? planned->spec : Json::object();
  if (!done && planned && !planned->missing.empty()) throw DataError(planned->missing);
  return explain_trial(place.id, spec, done ? record : nullptr, planned ? planned->model_path : "");
}

Explanation of_experiment(const Front& front, const Options& options) {
  PlanRequest request;
  request.file = options.file;
  request.overrides = options.overrides;
  const Planned planned = plan_experiment(request, front.catalog);
  std::vector<std::string> ids;
  std::vector<const PlannedTrial*> matching;
  for (const PlannedTrial& t : planned.plan.trials) {
    ids.push_back(t.id);
    if (t.id.starts_with(options.trial)) matching.push_back(&t);
  }
  if (matching.size() != 1)
    throw ConfigError(fmt::format("{}: {} trial \"{}\"{}; `stamp plan {}` lists them: {}", options.file,
                                  matching.empty() ? "no" : "more than one", options.trial,
                                  matching.empty() ? did_you_mean(options.trial, ids) : "", options.file,
                                  join(ids, ", ")));
  const PlannedTrial& t = *matching.front();
  return explain_trial(t.id, t.canonical, nullptr, t.spec.model.path);
}

ExitCode run(const Front& front, const Options& options) {
  if (!options.file.empty() && !options.folder.empty())
    throw ConfigError("name an experiment file or --run DIR, not both");
  if (!options.overrides.empty() && options.file.empty())
    throw ConfigError("--set changes an experiment file; the trials of a run folder are as they are");
  const Explanation e = !options.file.empty()     ? of_experiment(front, options)
                        : !options.folder.empty() ? of_folder((fs::path(options.folder) / options.trial).string())
                                                  : of_folder(options.trial);
  if (options.format == "json")
    data(explanation_json(e).dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  else
    data(options.format == "svg" ? explanation_svg(e, true) : explanation_text(e));
  return ExitCode::done;
}

}  // namespace

void add_explain(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = add_verb(app, action, "explain",
                            "Where each transform of a trial is applied or folded, slot by slot, with bits and cost",
                            "  stamp explain runs/quickstart/3f2a\n"
                            "  stamp explain 3f2a experiments/quickstart/sweep.yaml --format svg > block.svg",
                            options, run);
  verb->add_option("TRIAL", options->trial, "DIR/TRIAL, or TRIAL with a FILE or --run; the first letters are enough")
      ->required();
  verb->add_option("FILE", options->file, "Experiment file that makes the trial; its model's headers are read");
  verb->add_option("--run", options->folder, "Run folder that has the trial");
  verb->add_option("--set", options->overrides, "Override one setting of FILE, a.b=value; may be repeated")
      ->allow_extra_args(false);
  verb->add_option("--format", options->format, "text, svg (a picture of one block) or json (default: text)")
      ->check(CLI::IsMember({"text", "svg", "json"}));
}

}  // namespace stamp
