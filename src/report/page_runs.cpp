// What of a run may be held against each other, and the best of it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/text.h"
#include "report/page_overview.h"

namespace stamp {

namespace {

constexpr const char* method_path = "quantization.method";
constexpr const char* transform_path = "quantization.sequence.transform";

using Texts = std::vector<std::string>;

const Record* finished(const ReportTrial& t) {
  return t.record && t.record->status == "done" ? &*t.record : nullptr;
}

Texts texts_of(const ReportTrial& t, const Texts& paths) {
  Texts out;
  for (const std::string& p : paths) out.push_back(shown_setting(t, p));
  return out;
}

void tell_apart(std::vector<RunPart>& parts, const std::vector<Texts>& settings, const Texts& paths) {
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (paths[i].starts_with("model.")) continue;  // has a column of its own
    const auto same = [&](const Texts& s) { return s[i] == settings.front()[i]; };
    if (std::all_of(settings.begin(), settings.end(), same)) continue;
    for (std::size_t p = 0; p < parts.size(); ++p) {
      if (!parts[p].apart.empty()) parts[p].apart += ", ";
      parts[p].apart += named_value(short_name(paths[i], paths), settings[p][i]);
    }
  }
}

Lead lead_of(const TableCell& best, const TableCell& over) {
  Lead lead{&over, std::nullopt, std::nullopt};
  if (best.protocol != over.protocol) return lead;
  lead.paired = cell_difference(over, best);
  if (!lead.paired && best.low && best.high && over.low && over.high)
    lead.apart = *best.high < *over.low || *over.high < *best.low;
  return lead;
}

}  // namespace

std::string shown_model(const ReportTrial& t) {
  if (t.record)
    if (const auto it = t.record->model.find("name"); it != t.record->model.end() && it->is_string())
      return it->get<std::string>();
  return shown_setting(t, "model.name");
}

std::string items_text(const RunPart& part) {
  if (part.items.empty()) return "";
  const auto low = *part.items.begin(), high = *part.items.rbegin();
  return low == high ? fmt::format("{} {}", low, part.over) : fmt::format("{} to {} {}", low, high, part.over);
}

std::vector<RunPart> run_parts(const PageContext& context) {
  const ReportSource& source = context.run.source;
  Texts paths;
  for (const std::string& p : context.varied)
    if (sets_protocol(p)) paths.push_back(p);
  std::vector<RunPart> parts;
  std::vector<Texts> settings;  // of each part, at the paths
  const auto add = [&](RunPart& part, const ReportTrial& t) {
    ReportTrial copy = t;
    if (copy.record) copy.record->slots.clear();
    part.source.trials.push_back(std::move(copy));
  };
  // Finished trials make the parts; what has no value joins the part that its settings lead to, if they do. Two passes
  // over the plan, so that a trial that failed before the first one that finished is not lost.
  std::vector<std::size_t> place(source.trials.size(), std::string::npos);
  for (std::size_t i = 0; i < source.trials.size(); ++i) {
    const ReportTrial& t = source.trials[i];
    const Metric* m = finished(t) ? find_metric(*t.record, source.table.value) : nullptr;
    if (!m) continue;
    const Texts mine = texts_of(t, paths);
    const std::string model = shown_model(t);
    for (std::size_t p = 0; p < parts.size(); ++p)
      if (parts[p].model == model && parts[p].protocol == m->protocol && settings[p] == mine) place[i] = p;
    if (place[i] == std::string::npos) {
      place[i] = parts.size();
      RunPart part;
      part.model = model;
      part.protocol = m->protocol;
      part.letter = context.protocols.at(m->protocol);
      part.over = m->over;
      part.source.name = source.name;
      part.source.table = source.table;
      part.source.smoke = source.smoke;
      parts.push_back(std::move(part));
      settings.push_back(mine);
    }
    parts[place[i]].items.insert(m->n);
  }
  for (std::size_t i = 0; i < source.trials.size(); ++i) {
    const ReportTrial& t = source.trials[i];
    if (place[i] == std::string::npos && !finished(t)) {
      std::size_t fitting = 0;
      for (std::size_t p = 0; p < parts.size(); ++p)
        if (settings[p] == texts_of(t, paths)) {
          ++fitting;
          place[i] = p;
        }
      if (fitting != 1) place[i] = std::string::npos;
    }
    if (place[i] != std::string::npos) add(parts[place[i]], t);
  }
  if (parts.size() > 1) tell_apart(parts, settings, paths);
  for (RunPart& part : parts) {
    try {
      part.table = make_table(part.source, "grid", nullptr, true);
    } catch (const ConfigError& error) {
      part.refused = error.what();
    }
  }
  return parts;
}

Best best_of(const Table& table) {
  Best best;
  const TableRow* at = nullptr;
  const auto ahead = [&](const TableCell& a, const TableCell& b) {
    return table.lower_is_better ? a.value < b.value : a.value > b.value;
  };
  std::vector<const TableCell*> cells;
  for (const TableRow& row : table.rows)
    for (const TableCell& c : row.cells) {
      if (row.reference || c.state != TableCell::State::value || !std::isfinite(c.value)) continue;
      cells.push_back(&c);
      if (best.cell && !ahead(c, *best.cell)) continue;
      best.cell = &c;
      at = &row;
    }
  if (!best.cell) return best;
  for (const TableCell* c : cells) {
    if (c == best.cell || c->ids == best.cell->ids) continue;  // one trial that stands in two places
    if (!best.second.over || ahead(*c, *best.second.over)) best.second = lead_of(*best.cell, *c);
  }
  if (table.with_difference) {
    const TableCell& base = at->cells[table.baseline];
    best.is_baseline = base.ids == best.cell->ids;
    if (!best.is_baseline && base.state == TableCell::State::value && std::isfinite(base.value))
      best.baseline = lead_of(*best.cell, base);
  }
  return best;
}

std::string cell_name(const RunPart& part, const TableCell& cell) {
  const std::vector<ReportTrial>& trials = part.source.trials;
  const auto it = std::find_if(trials.begin(), trials.end(),
                               [&](const ReportTrial& t) { return !cell.ids.empty() && t.id == cell.ids.front(); });
  if (it == trials.end()) return "";
  const std::string method = shown_setting(*it, method_path);
  Texts names;
  for (const std::string& name : {method, shown_setting(*it, transform_path)})
    if (!name.empty()) names.push_back(name);
  const Texts varied = varied_paths(part.source), &repeats = part.source.table.average;
  for (const std::string& path : varied) {
    if (path == method_path || path == transform_path || path == "repeat" || idle_option(path, method)) continue;
    if (std::find(repeats.begin(), repeats.end(), path) != repeats.end()) continue;
    const std::string value = shown_setting(*it, path);
    if (!value.empty()) names.push_back(named_value(short_name(path, varied), value));
  }
  return join(names, ", ");
}

std::set<double> references_of(const RunPart& part) {
  std::set<double> values;
  for (const ReportTrial& t : part.source.trials)
    if (const Metric* m = finished(t) ? find_metric(*t.record, part.source.table.value + "_fp") : nullptr;
        m && std::isfinite(m->value))
      values.insert(m->value);
  return values;
}

}  // namespace stamp
