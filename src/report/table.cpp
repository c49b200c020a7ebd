#include "report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "report/notes.h"
#include "report/table_notes.h"

namespace stamp {

namespace {

using Key = std::vector<std::string>;

// One place a trial stands at: its labels, with the record it made.
struct Sample {
  const ReportTrial* trial = nullptr;
  const Json* labels = nullptr;
  const Record* record() const { return trial->record && trial->record->status == "done" ? &*trial->record : nullptr; }
  const Json& spec() const {
    static const Json none = Json::object();
    return trial->record ? trial->record->spec : none;
  }
  std::string text(const std::string& path) const {
    const auto value = setting(*labels, spec(), path);
    return value ? setting_text(*value) : "";
  }
  bool idle(const std::string& path) const { return idle_option(path, text("quantization.method")); }
};

std::vector<Sample> samples_of(const ReportSource& source) {
  static const Json none = Json::object();
  std::vector<Sample> out;
  for (const ReportTrial& t : source.trials) {
    if (t.labels.empty()) out.push_back({&t, &none});
    for (const Json& l : t.labels) out.push_back({&t, &l});
  }
  return out;
}

Key key_of(const Sample& s, const std::vector<std::string>& paths) {
  Key key;
  for (const std::string& p : paths) key.push_back(s.text(p));
  return key;
}

// A row's own settings: what its method does not read is left empty. Columns keep it, since a trial that an axis does
// not touch stands in all of them.
Key row_key(const Sample& s, const std::vector<std::string>& paths) {
  Key key;
  for (const std::string& p : paths) key.push_back(s.idle(p) ? "" : s.text(p));
  return key;
}

std::size_t index_of(std::vector<Key>& keys, const Key& key) {
  const auto it = std::find(keys.begin(), keys.end(), key);
  if (it != keys.end()) return static_cast<std::size_t>(it - keys.begin());
  keys.push_back(key);
  return keys.size() - 1;
}

// Two files may call the same thing by path or by name; tables speak of the name.
std::vector<std::string> named(std::vector<std::string> paths) {
  for (std::string& p : paths)
    if (p == "model.path") p = "model.name";
  return paths;
}

std::string metric_names(const ReportSource& source) {
  std::set<std::string> names;
  for (const ReportTrial& t : source.trials)
    if (t.record)
      for (const Metric& m : t.record->metrics) names.insert(m.name);
  return join({names.begin(), names.end()}, ", ");
}

// Values that share rows of one model and text must have been measured the same way.
void refuse_mixed_protocols(const std::vector<Sample>& samples, const std::vector<std::string>& paths,
                            const std::string& metric) {
  std::vector<std::string> apart;
  for (const std::string& p : paths)
    if (sets_protocol(p)) apart.push_back(p);
  std::map<Key, std::map<std::string, std::vector<std::string>>> seen;
  for (const Sample& s : samples) {
    const Record* r = s.record();
    const Metric* m = r ? find_metric(*r, metric) : nullptr;
    if (m) seen[key_of(s, apart)][m->protocol].push_back(r->id);
  }
  for (const auto& [key, protocols] : seen) {
    if (protocols.size() < 2) continue;
    std::string text = fmt::format(
        "{}: values of different protocols do not share a column; narrow the table, or name what differs in its rows:",
        metric);
    for (const auto& [protocol, ids] : protocols)
      text += fmt::format("\n  {} ({} trials, e.g. {})", protocol.empty() ? "no protocol" : protocol, ids.size(),
                          ids.front());
    throw ConfigError(text);
  }
}

// Item by item over repeats; empty unless all have the same items.
std::vector<double> item_means(const std::vector<const Metric*>& metrics) {
  std::vector<double> means(metrics.front()->items.size(), 0.0);
  for (const Metric* m : metrics) {
    if (m->items.size() != means.size() || m->protocol != metrics.front()->protocol) return {};
    for (std::size_t i = 0; i < means.size(); ++i) means[i] += m->items[i] / static_cast<double>(metrics.size());
  }
  return means;
}

double mean_of(const Metric& m) {
  if (m.items.empty()) return m.value;
  return std::accumulate(m.items.begin(), m.items.end(), 0.0) / static_cast<double>(m.items.size());
}

// `repeated`: the settings whose values are repeats.
void put(TableCell& cell, const std::vector<Sample>& samples, const std::string& metric,
         const std::vector<std::string>& repeated) {
  std::vector<double> values;
  std::vector<const Metric*> metrics;
  const Metric* last = nullptr;
  bool failed = false, missing = false, pending = false;
  for (const Sample& s : samples) {
    cell.ids.push_back(s.trial->id);
    if (const Record* r = s.record()) {
      if (const Metric* m = find_metric(*r, metric)) {
        values.push_back(m->value);
        metrics.push_back(m);
        cell.of_repeats[join(key_of(s, repeated), "\n")] = mean_of(*m);
        last = m;
        cell.items = m->n;
        cell.activation_bits = m->activation_bits;
        // Neither the full-precision reference nor an error inside a slot predicts tokens from quantized ones.
        const bool scored = m->over != "slots" && !metric.ends_with("_fp") && !m->leak_free;
        cell.sees_ahead = cell.sees_ahead || (scored && sees_ahead(*r));
      }
    } else if (s.trial->record) {
      failed = true;
    } else if (!s.trial->missing.empty()) {
      missing = true;
    } else {
      pending = true;
    }
  }
  cell.samples = static_cast<int>(values.size());
  if (values.empty()) {
    cell.state = failed    ? TableCell::State::failed
                 : missing ? TableCell::State::missing
                 : pending ? TableCell::State::pending
                           : TableCell::State::absent;  // done, and without this metric
    return;
  }
  cell.state = TableCell::State::value;
  cell.protocol = last->protocol;
  cell.items_of = item_means(metrics);
  double sum = 0;
  for (double v : values) sum += v;
  cell.value = sum / static_cast<double>(values.size());
  if (values.size() == 1) {
    cell.low = last->low;
    cell.high = last->high;
  } else {
    double squares = 0;
    for (double v : values) squares += (v - cell.value) * (v - cell.value);
    cell.deviation = std::sqrt(squares / static_cast<double>(values.size() - 1));
  }
}

std::optional<double> paper_value(const PaperEntry& paper, const std::string& metric, const Sample& s) {
  for (const PaperValue& v : paper.values)
    if (v.metric == metric && matches(v.when, *s.labels, s.spec())) return v.value;
  return std::nullopt;
}

bool apart(const TableCell& a, const TableCell& b) {
  return *a.high < *b.low || *b.high < *a.low;
}

std::size_t distinct_trials(const std::vector<TableCell*>& cells) {
  std::set<std::vector<std::string>> ids;
  for (const TableCell* c : cells) ids.insert(c->ids);
  return ids.size();
}

// Where items pair, the best value has to be better than every other one by its paired interval; where values have
// intervals of their own alone (averages over tasks), these must not overlap. Ties of values without either are judged
// as shown: two equal texts are equally good.
void mark_best(TableRow& row, bool lower) {
  TableCell* best = nullptr;
  std::vector<TableCell*> others;
  for (TableCell& c : row.cells) {
    if (c.state != TableCell::State::value || !std::isfinite(c.value)) continue;
    others.push_back(&c);
    if (!best || (lower ? c.value < best->value : c.value > best->value)) best = &c;
  }
  if (distinct_trials(others) < 2) return;  // one trial that stands in several places is better than nothing
  bool tested = false, beaten = false;
  for (const TableCell* c : others) {
    if (c == best || c->ids == best->ids) continue;  // one trial that stands in two places
    const std::optional<PairedDifference> d = cell_difference(*c, *best);
    const bool intervals = !d && c->low && c->high && best->low && best->high;
    // A mean over repeats that pairs with no other is not known to be better.
    const bool unpaired = !d && (c->samples > 1 || best->samples > 1);
    tested = tested || d || intervals || unpaired;
    beaten = beaten || (d && !d->better(lower)) || (intervals && !apart(*c, *best)) || unpaired;
  }
  if (beaten) return;
  for (TableCell* c : others)
    c->best = tested ? c == best || c->ids == best->ids : value_text(c->value) == value_text(best->value);
}

// To the column that is `identity` throughout, or the first.
void add_differences(Table& table, const std::vector<Key>& column_keys) {
  table.with_difference = true;
  for (std::size_t c = 0; c < column_keys.size(); ++c)
    if (std::all_of(column_keys[c].begin(), column_keys[c].end(), [](const auto& v) { return v == "identity"; })) {
      table.baseline = c;
      break;
    }
  for (TableRow& row : table.rows)
    for (std::size_t c = 0; c < row.cells.size(); ++c)
      if (!row.reference && c != table.baseline && row.cells[c].ids != row.cells[table.baseline].ids)
        row.cells[c].difference = cell_difference(row.cells[table.baseline], row.cells[c]);
}

// The full-precision model on the same items, one row for every model and text among the rows.
std::vector<TableRow> reference_rows(const std::vector<Sample>& samples, const std::vector<std::string>& rows,
                                     const std::vector<std::string>& columns, const std::vector<Key>& column_keys,
                                     const Table& table, const PaperEntry* paper, std::vector<std::string>& notes) {
  const std::string metric = table.value + "_fp";
  std::vector<std::string> apart;
  for (const std::string& p : rows)
    if (sets_protocol(p)) apart.push_back(p);
  std::vector<Key> groups;
  std::vector<std::vector<std::set<double>>> found;
  std::int64_t items = 0;  // the same for all: one protocol
  for (const Sample& s : samples) {
    const Record* r = s.record();
    const Metric* m = r ? find_metric(*r, metric) : nullptr;
    if (!m) continue;
    const std::size_t g = index_of(groups, key_of(s, apart));
    if (found.size() <= g) found.emplace_back(column_keys.size());
    const Key column = key_of(s, columns);
    found[g][static_cast<std::size_t>(std::find(column_keys.begin(), column_keys.end(), column) - column_keys.begin())]
        .insert(m->value);
    items = m->n;
  }
  const bool by_column = std::any_of(columns.begin(), columns.end(), sets_protocol);
  std::vector<TableRow> out;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    TableRow row;
    row.reference = true;
    std::size_t next = 0;
    bool named_fp = false;
    for (const std::string& p : rows) {
      if (sets_protocol(p)) {
        row.labels.push_back(groups[g][next++]);
      } else {
        row.labels.push_back(named_fp ? "" : "fp");
        named_fp = true;
      }
    }
    if (!named_fp && !row.labels.empty()) row.labels.back() += " fp";
    std::set<double> all;
    for (const auto& values : found[g]) all.insert(values.begin(), values.end());
    if (!by_column && *all.rbegin() - *all.begin() > 1e-6 * std::fabs(*all.begin()))
      notes.push_back(fmt::format("The full-precision reference differs between trials: {} to {}.",
                                  value_text(*all.begin()), value_text(*all.rbegin())));
    for (std::size_t c = 0; c < column_keys.size(); ++c) {
      TableCell cell;
      // One model, one value: it stands in the first column and would only repeat itself in the others.
      const std::set<double>& values = by_column ? found[g][c] : all;
      if (!values.empty() && (by_column || c == 0)) {
        cell.state = TableCell::State::value;
        cell.value = *values.begin();
        cell.samples = 1;
        cell.items = items;
        if (paper)
          for (const PaperValue& v : paper->values)
            if (v.metric == metric) cell.paper = v.value;
      }
      row.cells.push_back(std::move(cell));
    }
    out.push_back(std::move(row));
  }
  return out;
}

Table grid(const ReportSource& source, const PaperEntry* paper, bool differences) {
  Table table;
  table.title = source.name;
  table.value = source.table.value;
  const std::vector<Sample> samples = samples_of(source);
  std::vector<std::string> rows = named(source.table.rows);
  const std::vector<std::string> columns = named(source.table.columns);

  const std::vector<std::string> varied = varied_paths(source), averaged = named(source.table.average);
  std::vector<std::string> unnamed;
  for (const std::string& p : varied) {
    if (p == "repeat" || std::find(averaged.begin(), averaged.end(), p) != averaged.end()) continue;
    if (std::find(rows.begin(), rows.end(), p) == rows.end() &&
        std::find(columns.begin(), columns.end(), p) == columns.end())
      unnamed.push_back(p);
  }
  if (!unnamed.empty() && !rows.empty())
    table.notes.push_back("Rows are also split by " + join(unnamed, ", ") +
                          ", which the table's rows and columns do not name.");
  rows.insert(rows.end(), unnamed.begin(), unnamed.end());

  std::vector<std::string> both = rows;
  both.insert(both.end(), columns.begin(), columns.end());
  refuse_mixed_protocols(samples, both, table.value);
  refuse_mixed_protocols(samples, both, table.value + "_fp");

  bool any_done = false, any_metric = false;
  for (const Sample& s : samples) {
    const Record* r = s.record();
    any_done = any_done || r;
    if (const Metric* m = r ? find_metric(*r, table.value) : nullptr) {
      any_metric = true;
      table.unit = m->unit;
      table.lower_is_better = m->lower_is_better;
    }
  }
  if (any_done && !any_metric)
    throw ConfigError(
        fmt::format("table.value: no record has the metric \"{}\"; they have {}", table.value, metric_names(source)));

  std::vector<std::string> repeats = averaged;
  repeats.push_back("repeat");
  std::vector<Key> row_keys, column_keys;
  std::map<std::pair<std::size_t, std::size_t>, std::vector<Sample>> cells;
  for (const Sample& s : samples) {
    const std::size_t r = index_of(row_keys, row_key(s, rows)), c = index_of(column_keys, key_of(s, columns));
    std::vector<Sample>& cell = cells[{r, c}];
    // One trial under two labels that make no difference to it is one value.
    const bool there = std::any_of(cell.begin(), cell.end(), [&](const Sample& o) { return o.trial == s.trial; });
    if (!there) cell.push_back(s);
  }
  for (const std::string& p : rows) table.row_heads.push_back(short_name(p, both));
  std::vector<std::string> column_names;
  for (const std::string& p : columns) column_names.push_back(short_name(p, both));
  table.columns_are = join(column_names, " / ");
  for (const Key& k : column_keys) table.columns.push_back(columns.empty() ? table.value : join(k, " / "));
  table.column_labels = column_keys;

  for (std::size_t r = 0; r < row_keys.size(); ++r) {
    TableRow row;
    row.labels = row_keys[r];
    for (std::size_t c = 0; c < column_keys.size(); ++c) {
      TableCell cell;
      if (const auto it = cells.find({r, c}); it != cells.end()) {
        put(cell, it->second, table.value, repeats);
        if (paper) cell.paper = paper_value(*paper, table.value, it->second.front());
      }
      table.with_paper = table.with_paper || cell.paper.has_value();
      row.cells.push_back(std::move(cell));
    }
    mark_best(row, table.lower_is_better);
    table.rows.push_back(std::move(row));
  }
  std::vector<TableRow> references = reference_rows(samples, rows, columns, column_keys, table, paper, table.notes);
  table.rows.insert(table.rows.begin(), std::make_move_iterator(references.begin()),
                    std::make_move_iterator(references.end()));
  if (differences && table.columns.size() > 1) add_differences(table, column_keys);
  finish_notes(table, source, paper);
  return table;
}

Table long_list(const ReportSource& source) {
  Table table;
  table.title = source.name;
  std::vector<std::string> rows = varied_paths(source);
  const std::vector<Sample> samples = samples_of(source);
  table.row_heads.push_back("trial");
  for (const std::string& p : rows) table.row_heads.push_back(short_name(p, rows));
  for (const Sample& s : samples)
    if (const Record* r = s.record())
      for (const Metric& m : r->metrics)
        if (std::find(table.columns.begin(), table.columns.end(), m.name) == table.columns.end())
          table.columns.push_back(m.name);
  for (const std::string& metric : table.columns) refuse_mixed_protocols(samples, rows, metric);
  table.columns_are = "metric";
  for (const Sample& s : samples) {
    TableRow row;
    row.labels.push_back(s.trial->id);
    for (const std::string& p : rows) row.labels.push_back(s.text(p));
    for (const std::string& metric : table.columns) {
      TableCell cell;
      put(cell, {s}, metric, {});
      if (s.record() && cell.state != TableCell::State::value) cell = {};
      row.cells.push_back(std::move(cell));
    }
    table.rows.push_back(std::move(row));
  }
  finish_notes(table, source, nullptr);
  return table;
}

}  // namespace

std::optional<PairedDifference> cell_difference(const TableCell& from, const TableCell& to) {
  if (from.state != TableCell::State::value || to.state != TableCell::State::value || from.protocol != to.protocol)
    return std::nullopt;
  if (from.samples < 2 && to.samples < 2) return paired_difference(from.items_of, to.items_of);
  std::vector<double> a, b;
  for (const auto& [repeat, value] : from.of_repeats)
    if (const auto it = to.of_repeats.find(repeat); it != to.of_repeats.end()) {
      a.push_back(value);
      b.push_back(it->second);
    }
  return paired_difference(a, b);
}

const std::vector<std::string>& table_layouts() {
  static const std::vector<std::string> names{"grid", "long"};
  return names;
}

Table make_table(const ReportSource& source, const std::string& layout, const PaperEntry* paper, bool differences) {
  if (layout.empty() || layout == "grid") return grid(source, paper, differences);
  if (layout == "long") return long_list(source);
  throw ConfigError(fmt::format("table layout \"{}\" is not known{}; there are {}", layout,
                                did_you_mean(layout, table_layouts()), join(table_layouts(), ", ")));
}

}  // namespace stamp
