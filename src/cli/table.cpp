#include "report/table.h"

#include "cli/run_folder.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

namespace stamp {

namespace {

struct Options {
  std::string folder, format = "md", layout, value, paper;
  bool differences = false;
};

ExitCode run(const Front&, const Options& options) {
  const RunFolder folder = open_run(options.folder, false);
  ReportSource source = report_source(folder.plan, folder.records);
  if (!options.value.empty()) source.table.value = options.value;
  if (!options.paper.empty()) source.table.paper = options.paper;
  const std::optional<PaperEntry> paper = paper_of(source.table);
  const Table table = make_table(source, options.layout.empty() ? source.table.layout : options.layout,
                                 paper ? &*paper : nullptr, options.differences);
  data(options.format == "csv" ? csv(table) : options.format == "tex" ? latex(table) : markdown(table));
  return ExitCode::done;
}

}  // namespace

void add_table(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      add_verb(app, action, "table", "The table of a run, with paper and difference columns where a paper value exists",
               "  stamp table runs/quickstart --format md\n"
               "  stamp table runs/quickstart --format csv --layout long > quickstart.csv",
               options, run);
  verb->add_option("DIR", options->folder, "Run folder, or committed result (results/NAME)")->required();
  verb->add_option("--format", options->format, "md, tex or csv (default: md)")
      ->check(CLI::IsMember({"md", "tex", "csv"}));
  verb->add_option("--layout", options->layout, "grid: rows x columns of the experiment; long: one row a trial")
      ->check(CLI::IsMember(table_layouts()));
  verb->add_option("--value", options->value, "Metric to show instead of the experiment's");
  verb->add_flag("--differences", options->differences,
                 "After every column its difference to `identity` (or the first column), item by item, with a paired "
                 "95% interval");
  verb->add_option("--paper", options->paper, "Paper entry to show instead of the experiment's");
}

}  // namespace stamp
