#include <fmt/format.h>

#include "cli/run_folder.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

namespace stamp {

namespace {

struct Options {
  std::string trial;
};

ExitCode run(const Front&, const Options& options) {
  const TrialPlace place = find_trial(options.trial);
  const fs::path log = place.run.store.log_path(place.id);
  std::error_code ec;
  if (!fs::exists(log, ec))
    throw DataError(fmt::format("{}: trial {} has no log; it has not been run yet", log.string(), place.id));
  data(read_file(log));
  return ExitCode::done;
}

}  // namespace

void add_log(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = add_verb(app, action, "log", "The log of one trial",
                            "  stamp log runs/quickstart/3f2a91c0d4e7\n"
                            "  stamp log runs/quickstart/3f2a",
                            options, run);
  verb->add_option("TRIAL", options->trial, "DIR/TRIAL; the first letters of the id are enough")->required();
}

}  // namespace stamp
