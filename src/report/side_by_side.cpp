// What several runs measured alike, in one table: method and transform by run. A column is one part of a run, so one
// model and one protocol; nothing is averaged or compared across columns.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/text.h"
#include "report/notes.h"
#include "report/page_overview.h"

namespace stamp {

namespace {

using Texts = std::vector<std::string>;

constexpr const char* method_path = "quantization.method";
constexpr const char* transform_path = "quantization.sequence.transform";
constexpr std::size_t most_settings = 12;  // in the note on settings that differ

bool holds(const Texts& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

void add_once(Texts& list, const std::string& text) {
  if (!holds(list, text)) list.push_back(text);
}

std::size_t index_in(std::vector<Texts>& keys, const Texts& key) {
  const auto it = std::find(keys.begin(), keys.end(), key);
  if (it != keys.end()) return static_cast<std::size_t>(it - keys.begin());
  keys.push_back(key);
  return keys.size() - 1;
}

bool is_done(const ReportTrial& t) {
  return t.record && t.record->status == "done";
}

// ---- which parts stand beside each other, and by which settings ----

struct Group {
  std::string metric, family;
  std::vector<SideBySide::Column> columns;
};

std::vector<Group> groups_of(const PageOverview& overview) {
  std::vector<Group> groups;
  for (std::size_t r = 0; r < overview.parts.size(); ++r)
    for (std::size_t p = 0; p < overview.parts[r].size(); ++p) {
      const RunPart& part = overview.parts[r][p];
      const std::string &metric = part.source.table.value, family = protocol_family(part.protocol);
      auto it = std::find_if(groups.begin(), groups.end(),
                             [&](const Group& g) { return g.metric == metric && g.family == family; });
      if (it == groups.end()) it = groups.insert(groups.end(), {metric, family, {}});
      it->columns.push_back({r, p, std::nullopt});
    }
  // The parts of one run alone stand in its own table.
  std::erase_if(groups, [](const Group& g) {
    return std::all_of(g.columns.begin(), g.columns.end(),
                       [&](const SideBySide::Column& c) { return c.run == g.columns.front().run; });
  });
  return groups;
}

struct Paths {
  Texts rows, columns;  // method first, transform first
  Texts average;
  Texts further;  // neither method nor transform
};

// Whatever one of the runs varies tells rows apart in all of them: another run may hold the same fixed.
Paths paths_of(const PageOverview& overview, const Group& group) {
  Paths paths{{method_path}, {transform_path}, {}, {}};
  Texts columns;
  for (const SideBySide::Column& c : group.columns) {
    const TableSpec& spec = overview.contexts[c.run].run.source.table;
    for (const std::string& p : spec.average) add_once(paths.average, p);
    for (const std::string& p : spec.columns) add_once(columns, p);
  }
  for (const SideBySide::Column& c : group.columns)
    for (const std::string& p : overview.contexts[c.run].varied)
      if (p != method_path && p != transform_path && p != "repeat" && !sets_protocol(p) && !holds(paths.average, p))
        add_once(paths.further, p);
  for (const std::string& p : paths.further) (holds(columns, p) ? paths.columns : paths.rows).push_back(p);
  return paths;
}

// A setting that the run does not vary is the same for all of its trials, also for those whose canonical settings leave
// it out because it cannot matter to them: without that an identity transform would not stand beside the others.
ReportSource with_paths(const PageContext& context, const RunPart& part, const Paths& paths) {
  ReportSource source = part.source;
  source.table.rows = paths.rows;
  source.table.columns = paths.columns;
  source.table.average = paths.average;
  for (const std::string& path : paths.further) {
    if (holds(context.varied, path)) continue;
    std::vector<Json> values;
    for (const ReportTrial& t : part.source.trials) {
      const std::optional<Json> value =
          is_done(t) ? setting(t.labels.empty() ? Json::object() : t.labels.front(), t.record->spec, path)
                     : std::nullopt;
      if (value && std::none_of(values.begin(), values.end(), [&](const Json& v) { return same_setting(v, *value); }))
        values.push_back(*value);
    }
    if (values.size() != 1) continue;
    for (ReportTrial& t : source.trials) {
      if (t.labels.empty()) t.labels.push_back(Json::object());
      for (Json& labels : t.labels) labels[path] = values.front();
    }
  }
  return source;
}

// ---- changes ----

// Losses and errors have a zero, and their changes are ratios; a difference of decibels, nats or accuracies is one.
bool in_percent(const SideBySide& table) {
  return table.lower_is_better && table.unit.empty();
}

std::optional<SideBySide::Change> change_of(const SideBySide& table, const TableCell& from, const TableCell& to) {
  if (from.state != TableCell::State::value || to.state != TableCell::State::value) return std::nullopt;
  if (from.ids == to.ids || from.protocol != to.protocol) return std::nullopt;
  if (!std::isfinite(from.value) || !std::isfinite(to.value)) return std::nullopt;
  SideBySide::Change change;
  change.percent = in_percent(table);
  if (change.percent && !(from.value > 0)) return std::nullopt;
  change.value = change.percent ? 100 * (to.value / from.value - 1) : to.value - from.value;
  if (const auto d = cell_difference(from, to)) {
    // A perplexity's items are mean losses: a difference of these is the logarithm of a ratio of perplexities.
    const bool losses = table.metric.find("perplexity") != std::string::npos;
    const auto scaled = [&](double v) {
      return !change.percent ? v : losses ? 100 * std::expm1(v) : 100 * v / from.value;
    };
    change.low = scaled(d->low);
    change.high = scaled(d->high);
    change.significant = d->significant();
  }
  return change;
}

// ---- building ----

// Cells of one column by its place among all rows (settings of rows, settings of columns).
using Cells = std::map<std::pair<std::size_t, std::size_t>, TableCell>;

// The identity transform's value that a cell is held against: with the same other settings, or the only one of its row
// where a sweep gives the identity settings of its own (lvm_table1 allocates its bits differently).
const TableCell* baseline_in(const Cells& cells, const std::vector<Texts>& columns, std::size_t row,
                             std::size_t column) {
  if (columns[column].front() == "identity") return nullptr;
  Texts wanted = columns[column];
  wanted.front() = "identity";
  std::vector<const TableCell*> all;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    const auto it = columns[c].front() == "identity" ? cells.find({row, c}) : cells.end();
    if (it == cells.end()) continue;
    if (columns[c] == wanted) return &it->second;
    all.push_back(&it->second);
  }
  return all.size() == 1 ? all.front() : nullptr;
}

std::string column_name(const PageOverview& overview, const SideBySide::Column& c) {
  const RunPart& part = overview.parts[c.run][c.part];
  if (overview.parts[c.run].size() == 1) return overview.names[c.run];
  return fmt::format("{}, {}{}{}", overview.names[c.run], part.model, part.apart.empty() ? "" : ", ", part.apart);
}

// Fixed in every column, and not to the same value: a reader compares more than methods then.
std::string settings_note(const PageOverview& overview, const SideBySide& table) {
  std::vector<std::map<std::string, std::string>> fixed;
  Texts paths;
  for (const SideBySide::Column& c : table.columns) {
    std::map<std::string, std::set<std::string>> values;
    for (const ReportTrial& t : overview.parts[c.run][c.part].source.trials)
      if (is_done(t))
        for (const auto& [path, value] : flatten(t.record->spec)) values[path].insert(setting_text(value));
    fixed.emplace_back();
    for (const auto& [path, texts] : values) {
      if (texts.size() != 1 || sets_protocol(path) || holds(table.paths, path) || path == method_path ||
          path == transform_path || path == "repeat" || path == "evaluate")
        continue;
      fixed.back()[path] = *texts.begin();
      add_once(paths, path);
    }
  }
  Texts lines;
  for (const std::string& path : paths) {
    std::vector<std::pair<std::string, Texts>> seen;  // value -> columns
    for (std::size_t c = 0; c < fixed.size(); ++c) {
      const auto value = fixed[c].find(path);
      if (value == fixed[c].end()) continue;
      auto it = std::find_if(seen.begin(), seen.end(), [&](const auto& s) { return s.first == value->second; });
      if (it == seen.end()) it = seen.insert(seen.end(), {value->second, {}});
      add_once(it->second, column_name(overview, table.columns[c]));
    }
    if (seen.size() < 2) continue;
    Texts parts;
    for (const auto& [value, names] : seen) parts.push_back(fmt::format("{} ({})", value, join(names, ", ")));
    lines.push_back(fmt::format("{}: {}", path, join(parts, ", ")));
  }
  if (lines.empty()) return "";
  const std::size_t all = lines.size();
  if (all > most_settings) {
    lines.resize(most_settings);
    lines.push_back(fmt::format("{} more", all - most_settings));
  }
  return fmt::format("Settings that the columns hold fixed at different values: {}.", join(lines, "; "));
}

void add_notes(SideBySide& table, const PageOverview& overview) {
  bool ahead = false, repeated = false, changed = false, paired = false;
  for (const SideBySide::Row& row : table.rows)
    for (const SideBySide::Cell& c : row.cells) {
      ahead = ahead || c.cell.sees_ahead;
      repeated = repeated || c.cell.deviation.has_value();
      changed = changed || c.change.has_value();
      paired = paired || (c.change && c.change->low);
    }
  std::set<std::string> protocols, counts;
  std::map<std::string, std::string> letters;
  for (const SideBySide::Column& c : table.columns) {
    const RunPart& part = overview.parts[c.run][c.part];
    protocols.insert(part.protocol);
    counts.insert(items_text(part));
    letters[part.protocol] = part.letter;
  }
  Texts notes{fmt::format("{}{}, {} is better. A column is one run, one model and one protocol.", table.metric,
                          table.unit.empty() ? "" : fmt::format(" ({})", table.unit),
                          table.lower_is_better ? "lower" : "higher")};
  if (changed)
    notes.push_back(
        fmt::format("Δ identity: {} to the identity transform of the same method and settings in the same column{}.",
                    table.columns.empty() || in_percent(table) ? "change relative" : "difference",
                    paired ? ", with its paired 95% interval (Student t over the items); bold where it excludes 0"
                           : "; no items pair, so none is tested"));
  if (protocols.size() > 1)
    notes.push_back(
        "Protocols of the columns differ in tokenizer or BOS, or in how much was measured: "
        "read changes across columns, not values.");
  if (counts.size() > 1)
    notes.push_back(fmt::format("Measured on different amounts: {}.", join({counts.begin(), counts.end()}, ", ")));
  for (const std::string& note : protocol_notes(letters)) notes.push_back(note);
  if (const std::string note = settings_note(overview, table); !note.empty()) notes.push_back(note);
  if (repeated) notes.push_back("a ± b (n): mean and standard deviation over n repeats.");
  if (ahead) notes.push_back(fmt::format("† {}.", sees_ahead_note));
  Texts mixed;
  for (const SideBySide::Column& c : table.columns)
    if (overview.contexts[c.run].mixed()) add_once(mixed, overview.names[c.run]);
  if (!mixed.empty())
    notes.push_back(fmt::format("Mixed protocols in {}: every protocol has a column of its own.", join(mixed, ", ")));
  table.notes.insert(table.notes.begin(), notes.begin(), notes.end());
}

SideBySide built(const PageOverview& overview, const Group& group) {
  SideBySide table;
  table.metric = group.metric;
  const Paths paths = paths_of(overview, group);
  table.paths = paths.further;
  std::vector<Texts> rows, columns;
  std::vector<Cells> cells;
  for (SideBySide::Column column : group.columns) {
    const RunPart& part = overview.parts[column.run][column.part];
    Table own;
    try {
      own = make_table(with_paths(overview.contexts[column.run], part, paths), "grid", nullptr);
    } catch (const ConfigError& error) {
      table.notes.push_back(fmt::format("{}: left out: {}", column_name(overview, column), error.what()));
      continue;
    }
    table.unit = own.unit;
    table.lower_is_better = own.lower_is_better;
    cells.emplace_back();
    for (const TableRow& row : own.rows) {
      if (row.reference) {
        if (row.cells.front().state == TableCell::State::value) column.full_precision = row.cells.front().value;
        continue;
      }
      const std::size_t r = index_in(rows, row.labels);
      for (std::size_t c = 0; c < row.cells.size(); ++c) {
        if (row.cells[c].state == TableCell::State::absent) continue;
        Texts labels = own.column_labels[c];
        for (std::size_t i = 1; i < labels.size(); ++i)
          if (idle_option(paths.columns[i], row.labels.front())) labels[i].clear();  // one trial in all these columns
        cells.back()[{r, index_in(columns, labels)}] = row.cells[c];
      }
    }
    table.columns.push_back(column);
  }

  // All rows of a method together, methods as the first run that has them orders them.
  Texts methods;
  for (const Texts& labels : rows) add_once(methods, labels.front());
  std::vector<std::size_t> order;
  for (const std::string& method : methods)
    for (std::size_t r = 0; r < rows.size(); ++r)
      if (rows[r].front() == method) order.push_back(r);

  Texts all = paths.rows;
  all.insert(all.end(), paths.columns.begin(), paths.columns.end());
  std::map<std::string, std::set<std::string>> taken;  // values of a further setting in all rows
  const auto settings_of = [&](std::size_t r, std::size_t c, auto&& take) {
    for (std::size_t i = 1; i < paths.rows.size(); ++i) take(paths.rows[i], rows[r][i]);
    for (std::size_t i = 1; i < paths.columns.size(); ++i) take(paths.columns[i], columns[c][i]);
  };
  const auto anywhere = [&](std::size_t r, std::size_t c) {
    return std::any_of(cells.begin(), cells.end(), [&](const Cells& some) { return some.count({r, c}) > 0; });
  };
  for (std::size_t r = 0; r < rows.size(); ++r)
    for (std::size_t c = 0; c < columns.size(); ++c)
      if (anywhere(r, c))
        settings_of(r, c, [&](const std::string& path, const std::string& value) { taken[path].insert(value); });

  for (const std::size_t r : order)
    for (std::size_t c = 0; c < columns.size(); ++c) {
      if (!anywhere(r, c)) continue;
      SideBySide::Row row{rows[r].front(), columns[c].front(), "", {}};
      Texts settings;
      settings_of(r, c, [&](const std::string& path, const std::string& value) {
        if (!value.empty() && taken[path].size() > 1) settings.push_back(named_value(short_name(path, all), value));
      });
      row.settings = join(settings, ", ");
      for (const Cells& some : cells) {
        SideBySide::Cell cell;
        if (const auto it = some.find({r, c}); it != some.end()) {
          cell.cell = it->second;
          if (const TableCell* base = baseline_in(some, columns, r, c))
            cell.change = change_of(table, *base, cell.cell);
        }
        row.cells.push_back(std::move(cell));
      }
      table.rows.push_back(std::move(row));
    }
  add_notes(table, overview);
  return table;
}

// A number before a space, as in "4 windows" or "first 100 items": how much was measured.
std::string without_count(const std::string& piece) {
  Texts words = split(piece, ' ');
  if (words.size() < 2) return piece;
  const auto number = [](const std::string& w) {
    return !w.empty() && w.find_first_not_of("0123456789") == std::string::npos;
  };
  if (number(words[0]) && (words[1] == "windows" || words[1] == "images")) words.erase(words.begin());
  if (words.size() == 3 && (words[0] == "first" || words[0] == "all") && number(words[1]) && words[2] == "items")
    words = {"items"};
  return join(words, " ");
}

}  // namespace

std::string protocol_family(const std::string& protocol) {
  Texts kept;
  std::string rest = protocol;
  while (true) {
    const std::size_t at = rest.find(", ");
    const std::string piece = rest.substr(0, at);
    // An image protocol's "sha" is taken over its seeds and pictures too, so it follows how many there are.
    const bool own = piece.starts_with("tokenizer ") || piece.starts_with("bos ") || piece == "bos" ||
                     piece == "no bos" || piece.starts_with("sha ");
    if (!own) kept.push_back(without_count(piece));
    if (at == std::string::npos) break;
    rest = rest.substr(at + 2);
  }
  return join(kept, ", ");
}

std::vector<SideBySide> side_by_side(const PageOverview& overview) {
  std::vector<SideBySide> tables;
  for (const Group& group : groups_of(overview)) tables.push_back(built(overview, group));
  return tables;
}

}  // namespace stamp
