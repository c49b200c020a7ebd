#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "cli/run_folder.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "report/table.h"

namespace stamp {

namespace {

struct Options {
  std::string folder = "runs";
};

double seconds_of(const Record& r) {
  if (const auto it = r.timing_s.find("total"); it != r.timing_s.end()) return it->second;
  double sum = 0;
  for (const auto& [phase, seconds] : r.timing_s) sum += seconds;
  return sum;
}

std::string run_text(const RunFolder& run) {
  const ReportSource source = report_source(run.plan, run.records);
  const std::vector<std::string> paths = varied_paths(source);
  std::vector<std::string> head{"trial", "state"};
  for (const std::string& p : paths) head.push_back(short_name(p, paths));
  for (const char* h : {"value", "time", "finished", "note"}) head.push_back(h);
  std::vector<std::vector<std::string>> rows{head};
  for (const ReportTrial& t : source.trials) {
    const bool done = t.record && t.record->status == "done";
    std::vector<std::string> row{t.id, done ? "done" : t.record ? "failed" : t.missing.empty() ? "new" : "missing"};
    for (const std::string& p : paths) {
      const auto value =
          setting(t.labels.empty() ? Json::object() : t.labels.front(), t.record ? t.record->spec : Json::object(), p);
      row.push_back(value ? setting_text(*value) : "");
    }
    const Metric* m = done ? find_metric(*t.record, source.table.value) : nullptr;
    row.push_back(m ? value_text(m->value) : "");
    const double seconds = t.record ? seconds_of(*t.record) : 0;
    row.push_back(seconds > 0 ? duration_text(seconds) : "");
    row.push_back(t.record ? t.record->finished : "");
    row.push_back(t.record && t.record->failure ? t.record->failure->kind : t.missing);
    rows.push_back(std::move(row));
  }
  std::string out = fmt::format("{}: {}\n", run.store.folder().string(), run.plan.name) + columns(rows);
  for (const VanishedTrial& v : run.plan.vanished)
    out += fmt::format("{}  no longer in the experiment{}\n", v.id, run.records.find(v.id) ? ", has a record" : "");
  return out;
}

ExitCode run(const Front&, const Options& options) {
  if (has_results(options.folder)) {
    data(run_text(open_run(options.folder, false)));
    return ExitCode::done;
  }
  std::vector<std::vector<std::string>> rows{{"run", "experiment", "trials", "done", "failed"}};
  const auto damaged = each_run(options.folder, false, [&](const std::string& folder, const RunFolder& one) {
    std::size_t done = 0, failed = 0;
    for (const FrozenTrial& t : one.plan.trials) {
      const Record* r = one.records.find(t.id);
      if (r) ++(r->status == "done" ? done : failed);
    }
    rows.push_back(
        {folder, one.plan.name, std::to_string(one.plan.trials.size()), std::to_string(done), std::to_string(failed)});
  });
  for (const DamagedRun& d : damaged) {
    rows.push_back({d.folder, "damaged"});
    fail(d.why);
  }
  data(columns(rows));
  return damaged.empty() ? ExitCode::done : ExitCode::missing;
}

}  // namespace

void add_ls(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = add_verb(app, action, "ls", "What is in a run folder, or which run folders there are",
                            "  stamp ls runs/quickstart\n"
                            "  stamp ls runs",
                            options, run);
  verb->add_option("DIR", options->folder, "Run folder or committed result, or a folder of them (default: runs)");
}

}  // namespace stamp
