#include "cli/run_folder.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/gzip.h"
#include "base/text.h"
#include "cli/terminal.h"
#include "report/table.h"
#include "results/read_records.h"

namespace stamp {

namespace {

// "runs/a" of "runs/a//".
std::string plain_folder(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

// The folder a variable names, else that of the sources, else the installed one.
fs::path resource(const char* variable, const char* inside) {
  if (const char* given = std::getenv(variable); given && *given) return given;
  std::error_code ec;
  const fs::path source = fs::path(STAMP_SOURCE_DIR) / inside;
  if (fs::is_directory(source, ec)) return source;
  return program_folder() / ".." / "share" / "stamp" / inside;
}

}  // namespace

fs::path program_folder() {
  std::error_code ec;
  const fs::path self = fs::read_symlink("/proc/self/exe", ec);
  return ec ? fs::path(".") : self.parent_path();
}

fs::path paper_folder() {
  return resource("STAMP_CONFIGS", "configs") / "paper";
}

fs::path scripts_folder() {
  return resource("STAMP_SCRIPTS", "scripts");
}

fs::path experiments_folder() {
  return resource("STAMP_EXPERIMENTS", "experiments");
}

fs::path results_folder() {
  return resource("STAMP_RESULTS", "results");
}

bool is_run_folder(const std::string& path) {
  std::error_code ec;
  return fs::is_regular_file(fs::path(path) / "plan.json", ec);
}

fs::path queue_path(const RunStore& store) {
  return store.folder() / "queue.txt";
}

bool has_results(const std::string& folder) {
  return is_run_folder(folder) || is_committed_result(folder);
}

RunFolder open_run(const std::string& folder, bool with_slots) {
  if (!is_run_folder(folder) && is_committed_result(folder)) return open_committed(folder, with_slots);
  RunFolder run;
  run.store = RunStore(folder);
  run.plan = read_plan(run.store.plan_path());
  run.records = run.store.read(with_slots);
  for (const std::string& notice : run.records.notices) say(notice);
  return run;
}

bool is_committed_result(const fs::path& folder) {
  std::error_code ec;
  return fs::is_regular_file(folder / "plan.json.gz", ec);
}

RunFolder open_committed(const fs::path& folder, bool with_slots) {
  const fs::path plan = folder / "plan.json.gz", records = folder / "records.jsonl.gz";
  RunFolder run;
  run.store = RunStore(folder);
  const Json json = Json::parse(read_gzip(plan), nullptr, false);
  if (json.is_discarded()) throw DataError(plan.string() + ": is not whole JSON");
  run.plan = plan_from_json(json, plan.string());
  std::istringstream text(read_gzip(records));
  run.records = read_records(text, records.string(), with_slots);
  for (const std::string& notice : run.records.notices) say(notice);
  return run;
}

std::vector<DamagedRun> each_run(const std::string& folder, bool with_slots, const RunVisitor& visit) {
  std::vector<DamagedRun> damaged;
  std::set<fs::path> inside;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(folder, ec))
    if (has_results(entry.path().string())) inside.insert(entry.path());
  if (inside.empty()) read_plan(fs::path(folder) / "plan.json");  // says what is wrong with the folder
  for (const fs::path& one : inside) {
    RunFolder run;
    try {
      run = open_run(one.string(), with_slots);
    } catch (const Error& error) {
      damaged.push_back({one.string(), error.what()});
      continue;
    }
    visit(one.string(), run);
  }
  return damaged;
}

std::vector<Record> planned_records(const RunFolder& run) {
  std::vector<Record> out;
  for (const FrozenTrial& t : run.plan.trials)
    if (const Record* r = run.records.find(t.id)) out.push_back(*r);
  return out;
}

ReportSource report_source(const FrozenPlan& plan, const ReadRecords& records) {
  ReportSource source;
  source.name = plan.name;
  source.table = plan.table;
  source.smoke = plan.smoke;
  std::set<std::string> planned;
  for (const FrozenTrial& t : plan.trials) {
    ReportTrial r;
    r.id = t.id;
    r.labels = t.labels;
    r.missing = t.missing;
    if (const Record* record = records.find(t.id)) r.record = *record;
    planned.insert(t.id);
    source.trials.push_back(std::move(r));
  }
  for (const ExcludedCell& x : plan.excluded) source.excluded.push_back({x.labels, x.because});
  source.left_out = static_cast<std::size_t>(std::count_if(records.records.begin(), records.records.end(),
                                                           [&](const Record& r) { return planned.count(r.id) == 0; }));
  return source;
}

std::optional<PaperEntry> paper_of(const TableSpec& table) {
  if (table.paper.empty()) return std::nullopt;
  const fs::path folder = paper_folder();
  std::error_code ec;
  if (!fs::is_directory(folder, ec)) {
    say(fmt::format("{}: no such folder, so no paper columns; set STAMP_CONFIGS to the configs folder",
                    folder.string()));
    return std::nullopt;
  }
  return find_paper(folder, table.paper);
}

void check_table(const TableSpec& table, const std::string& file) {
  std::vector<std::string> faults;
  const std::vector<std::string>& layouts = table_layouts();
  if (!table.layout.empty() && std::find(layouts.begin(), layouts.end(), table.layout) == layouts.end())
    faults.push_back(fmt::format("{}: table.layout: \"{}\"; one of: {}{}", file, table.layout, join(layouts, ", "),
                                 did_you_mean(table.layout, layouts)));
  std::error_code ec;
  if (!table.paper.empty() && fs::is_directory(paper_folder(), ec)) {
    try {
      find_paper(paper_folder(), table.paper);
    } catch (const ConfigError& error) {
      faults.push_back(fmt::format("{}: {}", file, error.what()));
    }
  }
  if (!faults.empty()) throw ConfigError(faults);
}

TrialPlace find_trial(const std::string& argument) {
  if (has_results(argument)) {
    const RunFolder run = open_run(argument, false);
    std::vector<std::string> ids;
    for (const FrozenTrial& t : run.plan.trials) ids.push_back(t.id);
    const std::string folder = plain_folder(argument);
    throw ConfigError(
        fmt::format("{}: name a trial of this folder too, as {}/TRIAL; it has {}", folder, folder, join(ids, ", ")));
  }
  const fs::path path(plain_folder(argument));
  TrialPlace place;
  place.run = open_run(path.parent_path().empty() ? "." : path.parent_path().string(), true);
  const std::string wanted = path.filename().string();
  std::vector<std::string> ids, matching;
  for (const FrozenTrial& t : place.run.plan.trials) ids.push_back(t.id);
  for (const VanishedTrial& v : place.run.plan.vanished) ids.push_back(v.id);
  for (const Record& r : place.run.records.records) ids.push_back(r.id);
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  for (const std::string& id : ids)
    if (!wanted.empty() && id.starts_with(wanted)) matching.push_back(id);
  if (matching.size() == 1) {
    place.id = matching.front();
    return place;
  }
  throw ConfigError(matching.empty()
                        ? fmt::format("{}: no trial \"{}\" in this folder{}; it has {}", path.parent_path().string(),
                                      wanted, did_you_mean(wanted, ids), join(ids, ", "))
                        : fmt::format("{}: \"{}\" is the beginning of several trials: {}", path.parent_path().string(),
                                      wanted, join(matching, ", ")));
}

}  // namespace stamp
