#include "report/export.h"

#include <fmt/format.h>

#include <map>

#include "cli/run_folder.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

namespace stamp {

namespace {

struct Options {
  std::string folder, format = "csv", output;
};

ExitCode run(const Front&, const Options& options) {
  const RunFolder folder = open_run(options.folder, false);
  std::map<std::string, std::string> runs;
  for (const VanishedTrial& v : folder.plan.vanished) runs[v.id] = v.from;
  for (const FrozenTrial& t : folder.plan.trials) runs[t.id] = folder.plan.name;
  const ExportRows rows = export_rows(runs, folder.records.records);
  const bool text = options.format == "csv";
  const std::string written = text ? export_csv(rows) : export_sqlite(rows);
  if (options.output == "-" || (options.output.empty() && text)) {
    data(written);
    return ExitCode::done;
  }
  const fs::path file = options.output.empty() ? folder.store.folder() / "records.sqlite" : fs::path(options.output);
  write_file_atomic(file, written);
  if (!text) say(fmt::format("{}: table metrics, {} rows", file.string(), rows.rows.size()));
  return ExitCode::done;
}

}  // namespace

void add_export(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = add_verb(app, action, "export", "All records, one row a metric",
                            "  stamp export runs/quickstart --format csv > quickstart.csv\n"
                            "  stamp export runs/quickstart --format sqlite --output quickstart.sqlite",
                            options, run);
  verb->add_option("DIR", options->folder, "Run folder, or committed result (results/NAME)")->required();
  verb->add_option("--format", options->format, "csv or sqlite (default: csv)")
      ->check(CLI::IsMember({"csv", "sqlite"}));
  verb->add_option("--output", options->output,
                   "File, - for stdout (default: stdout for csv, DIR/records.sqlite for sqlite)");
}

}  // namespace stamp
