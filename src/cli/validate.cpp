#include <fmt/format.h>

#include <set>

#include "cli/run_folder.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "config/compose.h"
#include "config/schema.h"
#include "config/yaml.h"
#include "sweep/plan.h"

namespace stamp {

namespace {

struct Options {
  std::vector<std::string> files;
  std::vector<std::string> overrides;
};

// With a model, its own or an inherited one, a file is a trial at least. A sweep without one is what models' files
// share.
bool names_a_model(const std::string& file) {
  std::vector<std::string> faults;
  const YamlNode root = compose(file, {}, faults);
  if (!faults.empty()) return true;
  const YamlNode* model = root.find("model");
  const YamlNode* sweep = root.find("sweep");
  const YamlNode* axes = sweep ? sweep->find("axes") : nullptr;
  return (model && model->find("path")) || (axes && axes->find("model.path"));
}

// Every reason once: why plugins refuse combinations, which no plan will hold.
void say_refusals(const Plan& plan) {
  std::set<std::string> said;
  for (const ExcludedCell& cell : plan.excluded)
    if (cell.refused && said.insert(fmt::format("{}: {}", cell.by, cell.because)).second)
      say(fmt::format("refused: {}: {}", cell.by, cell.because));
}

// What a file is shows in its first keys: paper values, expectations, an experiment, or a piece to be extended.
std::string validate_file(const std::string& file, const Options& options, const Catalog& catalog) {
  const YamlNode root = read_yaml(file);
  if (root.find("entries")) return fmt::format("paper values, {} entries", read_paper(file).size());
  if (root.find("expectations")) {
    const Schema schema(catalog);
    return fmt::format("{} expectations", read_expectations(file, &schema).size());
  }
  const bool unnamed = root.is_map() && !root.find("name") && !root.find("evaluate");
  if (unnamed && !names_a_model(file) && options.overrides.empty()) {
    for (const std::string& warning : read_piece(file, catalog).warnings) say("warning: " + warning);
    return "a piece to extend";
  }
  const Experiment experiment = read_experiment(file, options.overrides, catalog);
  const Plan plan = expand(experiment, catalog);
  for (const std::string& warning : plan.warnings) say("warning: " + warning);
  say_refusals(plan);
  check_table(plan.table, file);
  if (!plan.table.paper.empty()) paper_of(plan.table);  // says that there is no configs folder
  return fmt::format("experiment {}, {} trial{}, {} excluded{}", experiment.name, plan.trials.size(),
                     plan.trials.size() == 1 ? "" : "s", plan.excluded.size(),
                     unnamed && !root.find("sweep") ? "; a piece to extend as well" : "");
}

ExitCode run(const Front& front, const Options& options) {
  bool all = true;
  for (const std::string& file : options.files) {
    try {
      data(fmt::format("{}: ok, {}\n", file, validate_file(file, options, front.catalog)));
    } catch (const ConfigError& error) {
      fail(error.what());
      all = false;
    }
  }
  return all ? ExitCode::done : ExitCode::usage;
}

}  // namespace

void add_validate(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = add_verb(app, action, "validate",
                            "Read and type experiment files, pieces, paper values and expectations; no model is opened",
                            "  stamp validate experiments/quickstart/sweep.yaml\n"
                            "  stamp validate configs/models/*.yaml configs/paper/*.yaml experiments/*/expected.yaml",
                            options, run);
  verb->add_option("FILE", options->files, "YAML files")->required();
  verb->add_option("--set", options->overrides, "Override one setting, a.b=value")->allow_extra_args(false);
}

}  // namespace stamp
