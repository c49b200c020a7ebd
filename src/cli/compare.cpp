#include "report/compare.h"

#include "cli/run_folder.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "report/changes.h"

namespace stamp {

namespace {

struct Options {
  std::string a, b;
  bool brief = false;
};

struct Side {
  std::vector<Record> records;
  std::string metric;  // of the experiment's table
};

// A whole run, a committed result, or one trial of a run.
Side side_of(const std::string& argument) {
  if (has_results(argument)) {
    const RunFolder run = open_run(argument, false);
    return {planned_records(run), run.plan.table.value};
  }
  const TrialPlace place = find_trial(argument);
  const Record* record = place.run.records.find(place.id);
  if (!record) throw DataError(argument + ": the trial has not been run yet");
  return {{*record}, place.run.plan.table.value};
}

ExitCode run(const Front&, const Options& options) {
  const Side a = side_of(options.a), b = side_of(options.b);
  data(options.brief ? changes_line(changes(a.records, b.records, b.metric)) + "\n"
                     : comparison_text(compare(a.records, b.records), options.a, options.b));
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
  verb->add_option("A", options->a, "Run folder, committed result (results/NAME) or DIR/TRIAL")->required();
  verb->add_option("B", options->b, "The same, to be held against A")->required();
  verb->add_flag(
      "--brief", options->brief,
      "One line: how many trials moved from A (before) to B (now) in the metric of B's table, and the largest "
      "change");
}

}  // namespace stamp
