#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>

#include "base/error.h"
#include "base/sha256.h"
#include "base/text.h"
#include "sweep/plan.h"

namespace stamp {

namespace {

constexpr std::size_t most_cells = 100000;

// One step of the sweep: an axis, or a zip group whose axes move together.
struct Wheel {
  std::vector<const Axis*> axes;
  std::size_t size() const { return axes.front()->values.size(); }
};

std::vector<Wheel> wheels_of(const Experiment& e) {
  std::vector<Wheel> wheels;
  for (const Axis& a : e.axes) wheels.push_back({{&a}});
  for (const ZipGroup& z : e.zips) {
    Wheel w;
    for (const Axis& a : z.axes) w.axes.push_back(&a);
    if (!w.axes.empty()) wheels.push_back(std::move(w));
  }
  return wheels;
}

std::size_t cell_count(const Experiment& e, const std::vector<Wheel>& wheels) {
  std::size_t n = 1;
  for (const Wheel& w : wheels) {
    n *= w.size();
    if (n > most_cells) break;
  }
  n = (n + e.cells.size()) * static_cast<std::size_t>(std::max<std::int64_t>(1, e.repeats));
  if (n > most_cells)
    throw ConfigError(fmt::format("{}: the sweep has more than {} combinations; take values out of an axis, or use zip",
                                  e.source, most_cells));
  return n;
}

// Every combination of the wheels, the last turning fastest. Without wheels: the base alone, unless cells are given.
std::vector<Assignments> combinations(const Experiment& e, const std::vector<Wheel>& wheels) {
  std::vector<Assignments> all;
  if (!wheels.empty() || e.cells.empty()) {
    std::vector<std::size_t> at(wheels.size(), 0);
    for (bool more = true; more;) {
      Assignments one;
      for (std::size_t w = 0; w < wheels.size(); ++w)
        for (const Axis* a : wheels[w].axes) one.push_back({a->path, a->values[at[w]]});
      all.push_back(std::move(one));
      more = false;
      for (std::size_t w = wheels.size(); w-- > 0;) {
        if (++at[w] < wheels[w].size()) {
          more = true;
          break;
        }
        at[w] = 0;
      }
    }
  }
  for (const Cell& c : e.cells) all.push_back(c.assignments);
  return all;
}

std::vector<std::string> swept_paths(const Experiment& e) {
  std::vector<std::string> paths;
  const auto add = [&](const std::string& p) {
    if (std::find(paths.begin(), paths.end(), p) == paths.end()) paths.push_back(p);
  };
  for (const Axis& a : e.axes) add(a.path);
  for (const ZipGroup& z : e.zips)
    for (const Axis& a : z.axes) add(a.path);
  for (const Cell& c : e.cells)
    for (const Assignment& a : c.assignments) add(a.path);
  return paths;
}

// What the trial holds at every swept path. A model goes by its name: paths differ from machine to machine.
Labels labels_of(const TrialSpec& spec, const Assignments& given, const std::vector<std::string>& paths,
                 const Schema& schema) {
  Labels labels = Labels::object();
  for (const std::string& path : paths) {
    if (path == "model.path") {
      labels["model.name"] = spec.model.name;
      continue;
    }
    const auto it = std::find_if(given.begin(), given.end(), [&](const Assignment& a) { return a.path == path; });
    if (it != given.end())
      labels[path] = it->given.value;
    else if (const auto value = schema.value(spec, path))
      labels[path] = *value;
  }
  return labels;
}

bool matters(const Schema& schema, const TrialSpec& spec, const std::string& path) {
  for (const Field* f : schema.find(path))
    if (!f->matters || f->matters(spec)) return true;
  return false;
}

// Where a model or text lies is this machine's affair: only the last part of a path counts.
Json without_place(const std::string& path, const Json& value) {
  if (!value.is_string() || (path != "model.path" && !path.ends_with(".text"))) return value;
  return fs::path(value.get<std::string>()).filename().string();
}

// What of the experiment decides its trials, as one text: composed settings, sweep and table.
std::string content_of(const Experiment& e) {
  Json j = Json::object();
  const auto assignments = [](const Assignments& list) {
    Json o = Json::array();
    for (const Assignment& a : list) o.push_back({a.path, without_place(a.path, a.given.value)});
    return o;
  };
  const auto axis = [](const Axis& a) {
    Json values = Json::array();
    for (const PlacedValue& v : a.values) values.push_back(without_place(a.path, v.value));
    return Json{a.path, values};
  };
  j["name"] = e.name;
  j["settings"] = assignments(e.settings);
  for (const Axis& a : e.axes) j["axes"].push_back(axis(a));
  for (const ZipGroup& z : e.zips) {
    Json group = Json::array();
    for (const Axis& a : z.axes) group.push_back(axis(a));
    j["zip"].push_back(group);
  }
  for (const Cell& c : e.cells) j["cells"].push_back(assignments(c.assignments));
  for (const Exclusion& x : e.exclude) {
    Json when = Json::array();
    for (const auto& w : x.when) {
      Json values = Json::array();
      for (const PlacedValue& v : w.values) values.push_back(v.value);
      when.push_back({w.path, values});
    }
    j["exclude"].push_back({{"when", when}, {"because", x.because}});
  }
  j["repeats"] = e.repeats;
  j["table"] = {{"rows", e.table.rows},
                {"columns", e.table.columns},
                {"value", e.table.value},
                {"paper", e.table.paper},
                {"layout", e.table.layout}};
  if (!e.table.average.empty()) j["table"]["average"] = e.table.average;  // digests of older files stay what they were
  return j.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Trials that share what is costly follow one another: model, then the prepared weights; groups keep the file's order.
void order_by_cost(std::vector<PlannedTrial>& trials) {
  std::unordered_map<std::string, std::size_t> models, weights;
  std::vector<std::pair<std::size_t, std::size_t>> rank(trials.size());
  for (std::size_t i = 0; i < trials.size(); ++i) {
    rank[i] = {models.try_emplace(model_group(trials[i].spec), models.size()).first->second,
               weights.try_emplace(weights_group(trials[i]), weights.size()).first->second};
  }
  std::vector<std::size_t> order(trials.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return rank[a] < rank[b]; });
  std::vector<PlannedTrial> sorted;
  sorted.reserve(trials.size());
  for (std::size_t i : order) sorted.push_back(std::move(trials[i]));
  trials = std::move(sorted);
}

// The first trial of every model and method.
void keep_first_of_methods(std::vector<PlannedTrial>& trials) {
  std::set<std::string> seen;
  std::vector<PlannedTrial> kept;
  for (PlannedTrial& t : trials)
    if (seen.insert(t.spec.model.path + "\n" + t.spec.quantization.method).second) kept.push_back(std::move(t));
  trials = std::move(kept);
}

}  // namespace

const char* name_of(TrialState state) {
  switch (state) {
    case TrialState::fresh: return "new";
    case TrialState::done: return "done";
    case TrialState::failed: return "failed";
    case TrialState::missing: return "missing";
  }
  return "?";
}

const PlannedTrial* Plan::find(const std::string& id) const {
  const auto it = std::find_if(trials.begin(), trials.end(), [&](const PlannedTrial& t) { return t.id == id; });
  return it == trials.end() ? nullptr : &*it;
}

TrialSpec smoke_spec(TrialSpec spec) {
  spec.data.windows = 1;
  spec.data.context = std::min<std::int64_t>(spec.data.context, 256);
  spec.calibration.samples = std::min<std::int64_t>(spec.calibration.samples, 2);
  spec.calibration.context = std::min<std::int64_t>(spec.calibration.context, 256);
  spec.decode.prefill = std::min(spec.decode.prefill, std::max<std::int64_t>(spec.data.context / 2, 1));
  constexpr std::int64_t questions = 4;
  spec.zero_shot.items = spec.zero_shot.items == 0 ? questions : std::min(spec.zero_shot.items, questions);
  spec.images.count = std::min<std::int64_t>(spec.images.count, 2);
  spec.images.traced = 1;
  spec.images.steps = std::min<std::int64_t>(spec.images.steps.value_or(3), 3);
  return spec;
}

std::optional<Refusal> refusal(const TrialSpec& spec, const Schema& schema) {
  const Catalog& catalog = schema.catalog();
  PlanFacts facts;
  facts.grid = reads(spec, "images", catalog);
  facts.skip_first = facts.grid ? 0 : spec.quantization.sequence.skip_first;  // as on every grid (methods 2.7)
  facts.any_length = reads(spec, "zero_shot", catalog);
  const bool windows = reads(spec, "data", catalog);
  if (windows) {
    facts.context = spec.data.context;
    facts.tokens = facts.context - facts.skip_first;
  }
  facts.low_bits = spec.quantization.activations.bits;
  facts.calibration_samples = static_cast<int>(spec.calibration.samples);

  const auto ask = [&](PluginKind kind, const std::string& name, const Json& options) -> std::optional<Refusal> {
    const PluginInfo* info = catalog.find(kind, name);
    if (!info) return Refusal{name_of(kind), fmt::format("there is no {} \"{}\"", name_of(kind), name)};
    const std::string by = fmt::format("{} {}", name_of(kind), name);
    if (info->needs_calibration && facts.calibration_samples < 1)
      return Refusal{by, "it needs calibration samples, and there are none"};
    if (!info->refuse) return std::nullopt;
    facts.options = complete_options(*info, options.is_null() ? Json::object() : options, by);
    const std::string why = info->refuse(facts);
    if (why.empty()) return std::nullopt;
    return Refusal{by, why};
  };

  if (facts.grid && (windows || facts.any_length))
    return Refusal{fmt::format("metrics {}", join(spec.evaluate, ", ")),
                   "some read texts and some images, and no model does both"};
  if (matters(schema, spec, "decode.prefill") && spec.decode.prefill >= spec.data.context)
    return Refusal{"metric decode_perplexity",
                   fmt::format("decode.prefill is {} and a window has {} tokens: none is left to decode",
                               spec.decode.prefill, spec.data.context)};
  const QuantizationSpec& q = spec.quantization;
  const PluginInfo* allocation = catalog.find(PluginKind::allocator, q.allocation.kind);
  if (allocation && allocation->reads == "slots" && spec.model.streamed.value_or(false) &&
      matters(schema, spec, "quantization.allocation.kind"))
    return Refusal{"allocator " + q.allocation.kind,
                   "it shares bits out among all slots, and a streamed trial sees those of one block at a time"};
  if (const auto r = ask(PluginKind::method, q.method, q.method_options)) return r;
  if (const auto r = ask(PluginKind::weight_quantizer, q.weights.quantizer, Json::object())) return r;
  const bool activations = q.activations.bits < 16, caches = q.kv_cache.bits < 16;
  if (matters(schema, spec, "quantization.sequence.transform")) {
    if (windows && facts.tokens < 1)
      return Refusal{"sequence transform " + q.sequence.transform,
                     fmt::format("skip_first {} leaves no token of {}", facts.skip_first, facts.context)};
    if (const auto r = ask(PluginKind::sequence_transform, q.sequence.transform, q.sequence.options)) return r;
  }
  if (activations)
    if (const auto r = ask(PluginKind::allocator, q.allocation.kind, q.allocation.options)) return r;
  if (caches) {
    facts.low_bits = q.kv_cache.bits;
    if (const auto r = ask(PluginKind::allocator, q.allocation.kind, q.allocation.options)) return r;
  }
  for (const std::string& metric : spec.evaluate)
    if (const auto r = ask(PluginKind::metric, metric, Json::object())) return r;
  return std::nullopt;
}

Plan expand(const Experiment& e, const Catalog& catalog, const ExpandOptions& options) {
  const Schema fallback_schema(catalog);
  const Schema& schema = e.schema ? *e.schema : fallback_schema;
  const std::vector<Wheel> wheels = wheels_of(e);
  cell_count(e, wheels);

  Plan plan;
  plan.name = e.name;
  plan.source = e.source;
  plan.source_digest = sha256_hex(content_of(e));
  plan.base = fs::path(e.source).parent_path().string();
  plan.table = e.table;
  plan.warnings = e.warnings;

  const std::vector<std::string> paths = swept_paths(e);
  std::vector<std::size_t> matches(e.exclude.size(), 0);
  std::unordered_map<std::string, std::size_t> place;  // id -> trial
  std::vector<std::string> faults;

  for (const Assignments& given : combinations(e, wheels)) {
    TrialSpec spec;
    try {
      spec = apply(e, given);
    } catch (const ConfigError& fault) {
      if (std::find(faults.begin(), faults.end(), fault.what()) == faults.end()) faults.emplace_back(fault.what());
      continue;
    }
    const Labels labels = labels_of(spec, given, paths, schema);
    bool excluded = false;
    for (std::size_t x = 0; x < e.exclude.size(); ++x) {
      if (!covers(e.exclude[x], spec, schema)) continue;
      ++matches[x];  // every exclusion that covers is counted, the first one gives the reason
      if (!excluded) plan.excluded.push_back({labels, e.exclude[x].because, false, e.exclude[x].place.text()});
      excluded = true;
    }
    if (excluded) continue;
    if (options.smoke) spec = smoke_spec(spec);
    if (options.resolve_text) {
      spec.data.text = options.resolve_text(spec.data.text);
      spec.calibration.text = options.resolve_text(spec.calibration.text);
    }
    if (const auto r = refusal(spec, schema)) {
      plan.excluded.push_back({labels, r->because, true, r->by});
      continue;
    }
    for (std::int64_t repeat = 0; repeat < std::max<std::int64_t>(1, e.repeats); ++repeat) {
      spec.repeat = repeat;
      Labels own = labels;
      if (e.repeats > 1) own["repeat"] = repeat;
      std::string id = trial_id(spec, schema);
      const auto [it, fresh] = place.try_emplace(id, plan.trials.size());
      if (!fresh) {
        ++plan.merged;
        std::vector<Labels>& all = plan.trials[it->second].labels;
        if (std::find(all.begin(), all.end(), own) == all.end()) all.push_back(std::move(own));
        continue;
      }
      PlannedTrial t;
      t.id = std::move(id);
      t.spec = spec;
      t.canonical = canonical(spec, schema);
      t.labels.push_back(std::move(own));
      plan.trials.push_back(std::move(t));
    }
  }
  if (!faults.empty()) throw ConfigError(faults);
  for (std::size_t x = 0; x < e.exclude.size(); ++x)
    if (matches[x] == 0)
      plan.warnings.push_back(
          fmt::format("{}: sweep.exclude: covers no trial (\"{}\")", e.exclude[x].place.text(), e.exclude[x].because));
  order_by_cost(plan.trials);
  if (options.smoke) keep_first_of_methods(plan.trials);
  return plan;
}

}  // namespace stamp
