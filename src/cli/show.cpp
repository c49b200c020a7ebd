#include <fmt/format.h>

#include "cli/run_folder.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

namespace stamp {

namespace {

struct Options {
  std::string trial;
  bool brief = false;
};

ExitCode run(const Front&, const Options& options) {
  const TrialPlace place = find_trial(options.trial);
  if (const Record* record = place.run.records.find(place.id)) {
    Json json = to_json(*record);
    if (options.brief) json.erase("slots");
    data(json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
    return ExitCode::done;
  }
  const FrozenTrial* planned = place.run.plan.find(place.id);
  say(planned && !planned->missing.empty() ? fmt::format("{} has no record: {}", place.id, planned->missing)
                                           : fmt::format("{} has not been run; these are its settings", place.id));
  if (planned) data(planned->spec.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  return ExitCode::done;
}

}  // namespace

void add_show(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = add_verb(app, action, "show", "One record in full, as JSON",
                            "  stamp show runs/quickstart/3f2a91c0d4e7\n"
                            "  stamp show runs/quickstart/3f2a --brief",
                            options, run);
  verb->add_option("TRIAL", options->trial, "DIR/TRIAL; the first letters of the id are enough")->required();
  verb->add_flag("--brief", options->brief, "Without the slots");
}

}  // namespace stamp
