#include <fmt/format.h>

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

PageRun page_run(const std::string& folder, const RunFolder& run) {
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
  // Runs and committed results as they are, other folders for those in them.
  for (const std::string& folder : options.folders) {
    if (has_results(folder)) {
      request.runs.push_back(page_run(folder, open_run(folder, true)));
      continue;
    }
    const auto damaged = each_run(folder, true, [&](const std::string& inside, const RunFolder& run) {
      request.runs.push_back(page_run(inside, run));
    });
    for (const DamagedRun& d : damaged) {
      fail(d.why);
      request.damaged.push_back(d.why);
    }
  }
  if (request.runs.empty()) throw DataError("no run that could be read: no page is made");
  const ExitCode end = request.damaged.empty() ? ExitCode::done : ExitCode::missing;
  request.made = utc_now();
  const Json code = code_provenance();
  request.program = fmt::format("stamp, revision {}{}", code.value("revision", "unknown").substr(0, 12),
                                code.value("dirty", false) ? " (dirty)" : "");
  const std::string page = report_page(request);
  if (options.output == "-") {
    data(page);
    return end;
  }
  fs::path output = options.output;
  if (output.empty())
    // What is committed stays as it is.
    output = request.runs.size() == 1 && is_run_folder(request.runs.front().folder)
                 ? fs::path(request.runs.front().folder) / "report.html"
                 : fs::path("report.html");
  write_file_atomic(output, page);
  say(fmt::format("{}: {}, {} run{}", output.string(), bytes_text(page.size()), request.runs.size(),
                  request.runs.size() == 1 ? "" : "s"));
  return end;
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
