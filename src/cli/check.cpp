#include "report/check.h"

#include "cli/run_folder.h"
#include "cli/steps.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "config/schema.h"

namespace stamp {

namespace {

struct Options {
  std::string folder, against;
};

ExitCode run(const Front& front, const Options& options) {
  return check_run(options.folder, options.against, front.catalog);
}

}  // namespace

ExitCode check_run(const std::string& run_folder, const fs::path& against, const Catalog& catalog) {
  const Schema schema(catalog);
  const std::vector<Expectation> expectations = read_expectations(against, &schema);
  const RunFolder folder = open_run(run_folder, false);
  const std::vector<Verdict> verdicts = check(report_source(folder.plan, folder.records), expectations);
  data(verdicts_text(verdicts));
  return any_miss(verdicts) ? ExitCode::outside_tolerance : ExitCode::done;
}

void add_check(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      add_verb(app, action, "check",
               "Every expectation with its tolerance and source: holds, misses, untested (exit code 4 on a miss)",
               "  stamp check runs/quickstart --against experiments/quickstart/expected.yaml\n"
               "  stamp check results/quickstart --against experiments/quickstart/expected.yaml && echo reproduced",
               options, run);
  verb->add_option("DIR", options->folder, "Run folder, or committed result (results/NAME)")->required();
  verb->add_option("--against", options->against, "File of expectations")->required();
}

}  // namespace stamp
