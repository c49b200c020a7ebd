#include "report/compare.h"

#include "cli/run_folder.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

namespace stamp {

namespace {

struct Options {
  std::string a, b;
};

// A whole run, or one trial of one.
std::vector<Record> records_of(const std::string& argument) {
  if (is_run_folder(argument)) {
    const RunFolder run = open_run(argument, false);
    std::vector<Record> out;
    for (const FrozenTrial& t : run.plan.trials)
      if (const Record* r = run.records.find(t.id)) out.push_back(*r);
    return out;
  }
  const TrialPlace place = find_trial(argument);
  const Record* record = place.run.records.find(place.id);
  if (!record) throw DataError(argument + ": the trial has not been run yet");
  return {*record};
}

ExitCode run(const Front&, const Options& options) {
  const std::vector<Record> a = records_of(options.a), b = records_of(options.b);
  data(comparison_text(compare(a, b), options.a, options.b));
  return ExitCode::done;
}

}  // namespace

void add_compare(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = add_verb(app, action, "compare",
                            "Settings and metrics that differ between two runs or two trials, with paired intervals",
                            "  stamp compare runs/quickstart runs/quickstart-skip0\n"
                            "  stamp compare runs/quickstart/3f2a runs/quickstart/91bc",
                            options, run);
  verb->add_option("A", options->a, "Run folder or DIR/TRIAL")->required();
  verb->add_option("B", options->b, "Run folder or DIR/TRIAL")->required();
}

}  // namespace stamp
