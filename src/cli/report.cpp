#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "cli/explaining.h"
#include "cli/figures.h"
#include "cli/run_folder.h"
#include "cli/steps.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "report/page.h"
#include "results/provenance.h"

namespace stamp {

namespace {

// Runs and committed results as they are, other folders for those in them.
std::vector<std::string> run_folders(const std::vector<std::string>& given) {
  std::vector<std::string> out;
  for (const std::string& folder : given) {
    if (has_results(folder)) {
      out.push_back(folder);
      continue;
    }
    std::set<std::string> inside;
    std::error_code ec;
    for (const auto& entry : fs::directory_iterator(folder, ec))
      if (has_results(entry.path().string())) inside.insert(entry.path().string());
    if (inside.empty()) read_plan(fs::path(folder) / "plan.json");  // says what is wrong with the folder
    out.insert(out.end(), inside.begin(), inside.end());
  }
  return out;
}

PageRun page_run(const std::string& folder) {
  const RunFolder run = open_run(folder, true);
  PageRun page;
  page.folder = folder;
  page.source = report_source(run.plan, run.records);
  page.notices = run.records.notices;
  try {
    page.paper = paper_of(page.source.table);
  } catch (const ConfigError& error) {
    say(fmt::format("{}: no paper values: {}", folder, error.what()));
    page.no_paper = error.what();
  }
  DrawnFigures drawn = drawn_figures(run, page.source);
  page.figures = std::move(drawn.figures);
  page.stale_figures = std::move(drawn.stale);
  if (!page.stale_figures.empty())
    say(fmt::format("{}: left out, drawn for other records than these: {}; run stamp plot again", folder,
                    join(page.stale_figures, ", ")));
  page.explanations = page_explanations(page.source);
  return page;
}

ExitCode run(const Front&, const ReportRequest& request) {
  return report_runs(request);
}

}  // namespace

ExitCode report_runs(const ReportRequest& options) {
  PageRequest request;
  const std::vector<std::string> folders = run_folders(options.folders);
  for (const std::string& folder : folders) request.runs.push_back(page_run(folder));
  request.made = utc_now();
  const Json code = code_provenance();
  request.program = fmt::format("stamp, revision {}{}", code.value("revision", "unknown").substr(0, 12),
                                code.value("dirty", false) ? " (dirty)" : "");
  const std::string page = report_page(request);
  if (options.output == "-") {
    data(page);
    return ExitCode::done;
  }
  fs::path output = options.output;
  if (output.empty())
    // What is committed stays as it is.
    output = folders.size() == 1 && is_run_folder(folders.front()) ? fs::path(folders.front()) / "report.html"
                                                                   : fs::path("report.html");
  write_file_atomic(output, page);
  say(fmt::format("{}: {}, {} run{}", output.string(), bytes_text(page.size()), folders.size(),
                  folders.size() == 1 ? "" : "s"));
  return ExitCode::done;
}

void add_report(CLI::App& app, Action& action) {
  auto options = std::make_shared<ReportRequest>();
  CLI::App* verb =
      add_verb(app, action, "report", "One HTML page of one or several runs, for the eye; needs no network",
               "  stamp report runs/quickstart\n"
               "  stamp report runs/quickstart runs/llm_table2 --output compared.html",
               options, run);
  verb->add_option("DIR", options->folders, "Run folders, committed results (results/NAME), or folders of them")
      ->required();
  verb->add_option(
      "--output", options->output,
      "File to write, - for stdout (default: report.html in the run folder; in this folder for several runs and for "
      "committed results)");
  verb->footer(
      verb->get_footer() +
      "\n\nThe page holds the table, values with intervals, the error of every slot by layer, all trials to\n"
      "sort and filter, where the transforms sit, caveats and provenance. Figures that `stamp plot` has drawn\n"
      "for these records are taken in. Several runs have an overview first, and what they measured alike stands in one "
      "table.\n"
      "Failed trials, damaged lines and mixed protocols are shown as what they are.");
}

}  // namespace stamp
