// The front program: parse, run the verb, turn errors into exit codes (docs/exit-codes.md).
#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <iostream>

#include "base/text.h"
#include "cli/catalog.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "results/provenance.h"

namespace {

using namespace stamp;

std::string version_text() {
  const Json code = code_provenance();
  return fmt::format("stamp 0.1.0 ({}{}, {})", code["revision"].get<std::string>().substr(0, 12),
                     code.value("dirty", false) ? ", dirty" : "", code["build"].get<std::string>());
}

std::vector<std::string> verbs_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands({})) names.push_back(verb->get_name());
  return names;
}

// What was said to be printed has been. The streams of C and C++ share a buffer, and either may have met the fault.
int printed(int code) {
  std::cout.flush();
  if (!std::cout || std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
    throw StoreError("standard output could not be written");
  return code;
}

int parse_failed(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  if (error.get_exit_code() == 0) return printed(app.exit(error));  // help and version
  std::string first = argc > 1 ? argv[1] : "";
  const std::vector<std::string> verbs = verbs_of(app);
  const bool known = std::find(verbs.begin(), verbs.end(), first) != verbs.end();
  if (!first.empty() && first[0] != '-' && !known) {
    fail(fmt::format("there is no verb \"{}\"{}; see stamp --help", first, did_you_mean(first, verbs)));
  } else {
    fail(error.what());
    say(known ? fmt::format("See stamp {} --help.", first) : "See stamp --help.");
  }
  return static_cast<int>(ExitCode::usage);
}

int run(int argc, char** argv) {
  CLI::App app{"Sequence transforms and mixed precision for quantized language models: sweeps, records, tables.",
               "stamp"};
  app.set_version_flag("--version", version_text());
  app.require_subcommand(1);
  app.set_help_flag("-h,--help", "Print this help");
  Action action;
  add_validate(app, action);
  add_plan(app, action);
  add_run(app, action);
  add_reproduce(app, action);
  add_watch(app, action);
  add_generate(app, action);
  add_sample(app, action);
  add_ls(app, action);
  add_show(app, action);
  add_log(app, action);
  add_table(app, action);
  add_plot(app, action);
  add_report(app, action);
  add_explain(app, action);
  add_compare(app, action);
  add_check(app, action);
  add_describe(app, action);
  add_inspect(app, action);
  add_doctor(app, action);
  add_export(app, action);
  add_completion(app, action);
  app.footer(
      "Examples:\n  stamp plan experiments/quickstart/sweep.yaml\n  stamp run experiments/quickstart/sweep.yaml\n\n"
      "stdout carries data, stderr talk. Exit codes: 0 done, 1 our fault, 2 configuration or usage, 3 some trials\n"
      "failed, 4 outside tolerance, 5 results could not be written, 6 data or model missing, 130 interrupted.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return parse_failed(app, error, argc, argv);
  }
  const Catalog catalog = make_catalog();
  const ExitCode code = action(Front{catalog, app});
  return printed(static_cast<int>(code));
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_DFL);  // `stamp ls | head` ends quietly
  try {
    return run(argc, argv);
  } catch (const Error& error) {
    fail(error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    fail(fmt::format("internal error: {}", error.what()));
    return static_cast<int>(ExitCode::internal);
  }
}
