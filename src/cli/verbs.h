// The verbs of `stamp`, one file each. A verb declares its arguments and says what to do with them.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/plugin.h"

namespace stamp {

struct Front {
  const Catalog& catalog;
  const CLI::App& app;  // for completion
};

// What a parsed command line does; the exit code it ends with. Errors are exceptions (base/error.h).
using Action = std::function<ExitCode(const Front&)>;

void add_validate(CLI::App& app, Action& action);
void add_plan(CLI::App& app, Action& action);
void add_run(CLI::App& app, Action& action);
void add_reproduce(CLI::App& app, Action& action);
void add_generate(CLI::App& app, Action& action);
void add_sample(CLI::App& app, Action& action);
void add_ls(CLI::App& app, Action& action);
void add_show(CLI::App& app, Action& action);
void add_log(CLI::App& app, Action& action);
void add_table(CLI::App& app, Action& action);
void add_plot(CLI::App& app, Action& action);
void add_report(CLI::App& app, Action& action);
void add_explain(CLI::App& app, Action& action);
void add_watch(CLI::App& app, Action& action);
void add_compare(CLI::App& app, Action& action);
void add_check(CLI::App& app, Action& action);
void add_describe(CLI::App& app, Action& action);
void add_inspect(CLI::App& app, Action& action);
void add_doctor(CLI::App& app, Action& action);
void add_export(CLI::App& app, Action& action);
void add_completion(CLI::App& app, Action& action);

// A verb with its one-line summary and worked examples; `options` live as long as the action.
template <class Options>
CLI::App* add_verb(CLI::App& app, Action& action, const char* name, const char* summary, const char* examples,
                   std::shared_ptr<Options> options, ExitCode (*run)(const Front&, const Options&)) {
  CLI::App* verb = app.add_subcommand(name, summary);
  verb->footer(std::string("Examples:\n") + examples);
  verb->callback(
      [&action, options, run] { action = [options, run](const Front& front) { return run(front, *options); }; });
  return verb;
}

}  // namespace stamp
