#include "sweep/frozen.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "base/files.h"

namespace stamp {

namespace {

constexpr int plan_schema = 1;

Json labels_json(const std::vector<Labels>& labels) {
  Json list = Json::array();
  for (const Labels& l : labels) list.push_back(l);
  return list;
}

std::vector<Labels> labels_from(const Json& entry) {
  const auto it = entry.find("labels");
  if (it == entry.end()) return {};
  std::vector<Labels> out;
  if (it->is_object()) return {*it};
  for (const Json& l : *it) out.push_back(l);
  return out;
}

std::string labels_text(const std::vector<Labels>& labels, const std::string& id) {
  std::string text;
  if (!labels.empty())
    for (const auto& [path, value] : labels.front().items())
      text += fmt::format("{}{}={}", text.empty() ? "" : ", ", path,
                          value.is_string() ? value.get<std::string>() : value.dump());
  return text.empty() ? id : fmt::format("{} ({})", id, text);
}

}  // namespace

TrialSpec FrozenTrial::trial(const Schema& schema) const {
  Json json = spec;
  json["paths"] = paths;
  return trial_from_json(json, schema);
}

const FrozenTrial* FrozenPlan::find(const std::string& id) const {
  const auto it = std::find_if(trials.begin(), trials.end(), [&](const FrozenTrial& t) { return t.id == id; });
  return it == trials.end() ? nullptr : &*it;
}

FrozenPlan freeze(const Plan& plan, const Schema& schema) {
  FrozenPlan out;
  out.name = plan.name;
  out.source = fs::path(plan.source).filename().string();
  out.source_digest = plan.source_digest;
  out.table = plan.table;
  out.excluded = plan.excluded;
  for (const PlannedTrial& t : plan.trials) {
    FrozenTrial f;
    f.id = t.id;
    f.spec = t.canonical;
    const Json full = with_paths(t.spec, schema);
    f.paths = full.contains("paths") ? full["paths"] : Json::object();
    f.model_path = t.spec.model.path;
    f.base = plan.base;
    f.labels = t.labels;
    if (t.state == TrialState::missing) f.missing = t.reason;
    out.trials.push_back(std::move(f));
  }
  return out;
}

std::vector<std::string> unite(FrozenPlan& now, const FrozenPlan& before) {
  std::unordered_set<std::string> present;
  for (const FrozenTrial& t : now.trials) present.insert(t.id);
  std::unordered_set<std::string> earlier;
  std::vector<std::string> gone;
  for (const FrozenTrial& t : before.trials) {
    earlier.insert(t.id);
    if (present.count(t.id)) continue;
    now.vanished.push_back({t.id, t.spec, t.labels, before.name});
    gone.push_back(labels_text(t.labels, t.id));
  }
  for (const VanishedTrial& v : before.vanished)
    if (!present.count(v.id) && !earlier.count(v.id)) now.vanished.push_back(v);
  std::vector<std::string> said;
  if (now.source_digest == before.source_digest) return said;
  const auto added =
      std::count_if(now.trials.begin(), now.trials.end(), [&](const FrozenTrial& t) { return !earlier.count(t.id); });
  if (before.name != now.name)
    said.push_back(
        fmt::format("this folder was made by the experiment \"{}\", now it is \"{}\"", before.name, now.name));
  said.push_back(
      fmt::format("the experiment has changed since this folder was last run: {} trials added, {} no longer in it",
                  added, gone.size()));
  for (const std::string& g : gone) said.push_back("no longer in the experiment, its records are kept: " + g);
  return said;
}

Json to_json(const FrozenPlan& plan) {
  Json j = Json::object();
  j["schema"] = plan_schema;
  j["name"] = plan.name;
  j["source"] = plan.source;
  j["source_digest"] = plan.source_digest;
  if (plan.smoke) j["smoke"] = true;
  j["table"] = {{"rows", plan.table.rows},   {"columns", plan.table.columns}, {"average", plan.table.average},
                {"value", plan.table.value}, {"paper", plan.table.paper},     {"layout", plan.table.layout}};
  j["trials"] = Json::array();
  for (const FrozenTrial& t : plan.trials) {
    Json e = {{"id", t.id},
              {"labels", labels_json(t.labels)},
              {"model_path", t.model_path},
              {"base", t.base},
              {"paths", t.paths},
              {"spec", t.spec}};
    if (!t.missing.empty()) e["missing"] = t.missing;
    j["trials"].push_back(std::move(e));
  }
  j["excluded"] = Json::array();
  for (const ExcludedCell& x : plan.excluded)
    j["excluded"].push_back({{"labels", x.labels}, {"because", x.because}, {"refused", x.refused}, {"by", x.by}});
  j["vanished"] = Json::array();
  for (const VanishedTrial& v : plan.vanished) {
    Json e = {{"id", v.id}, {"labels", labels_json(v.labels)}, {"spec", v.spec}};
    if (!v.from.empty()) e["from"] = v.from;
    j["vanished"].push_back(std::move(e));
  }
  return j;
}

FrozenPlan plan_from_json(const Json& j, const std::string& file) {
  try {
    FrozenPlan p;
    const int schema = j.at("schema").get<int>();
    if (schema != plan_schema)
      throw DataError(
          fmt::format("{}: schema {} is not known here; this program reads schema {}", file, schema, plan_schema));
    p.name = j.at("name").get<std::string>();
    p.source = j.value("source", "");
    p.source_digest = j.value("source_digest", "");
    p.smoke = j.value("smoke", false);
    if (const auto t = j.find("table"); t != j.end()) {
      p.table.rows = t->value("rows", std::vector<std::string>{});
      p.table.columns = t->value("columns", std::vector<std::string>{});
      p.table.average = t->value("average", std::vector<std::string>{});
      p.table.value = t->value("value", p.table.value);
      p.table.paper = t->value("paper", "");
      p.table.layout = t->value("layout", "");
    }
    for (const Json& e : j.at("trials")) {
      FrozenTrial t;
      t.id = e.at("id").get<std::string>();
      t.spec = e.at("spec");
      t.paths = e.value("paths", Json::object());
      t.model_path = e.value("model_path", "");
      t.base = e.value("base", "");
      t.missing = e.value("missing", "");
      t.labels = labels_from(e);
      p.trials.push_back(std::move(t));
    }
    if (const auto list = j.find("excluded"); list != j.end())
      for (const Json& e : *list)
        p.excluded.push_back(
            {e.at("labels"), e.at("because").get<std::string>(), e.value("refused", false), e.value("by", "")});
    if (const auto list = j.find("vanished"); list != j.end())
      for (const Json& e : *list)
        p.vanished.push_back(
            {e.at("id").get<std::string>(), e.value("spec", Json::object()), labels_from(e), e.value("from", "")});
    return p;
  } catch (const Json::exception& e) {
    throw DataError(fmt::format("{}: not a plan of this program: {}", file, json_fault(e)));
  }
}

FrozenPlan read_plan(const fs::path& path) {
  std::error_code ec;
  if (!fs::exists(path, ec)) {
    const fs::path folder = path.parent_path();
    throw DataError(fs::is_directory(folder, ec) ? fmt::format("{}: is not a run folder (it has no {})",
                                                               folder.string(), path.filename().string())
                                                 : fmt::format("{}: no such run folder", folder.string()));
  }
  const std::string text = read_file(path);
  try {
    return plan_from_json(Json::parse(text), path.string());
  } catch (const Json::parse_error& e) {
    throw DataError(fmt::format("{}: damaged: {}", path.string(), json_fault(e)));
  }
}

void write_plan(const fs::path& path, const FrozenPlan& plan) {
  write_file_atomic(path, to_json(plan).dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace stamp
