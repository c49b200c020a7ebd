#include "report/table_notes.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "report/notes.h"

namespace stamp {

namespace {

bool bold_was_tested(const TableRow& row) {
  std::set<std::vector<std::string>> with_items;
  for (const TableCell& c : row.cells)
    if (c.items_of.size() > 1 || c.samples > 1) with_items.insert(c.ids);
  return with_items.size() > 1;
}

bool has_intervals_to_compare(const TableRow& row) {
  return std::count_if(row.cells.begin(), row.cells.end(),
                       [](const TableCell& c) { return c.low.has_value() && c.items_of.size() < 2; }) > 1;
}

// What the table is of; which direction is better is known from values alone.
std::string value_head(const Table& table) {
  const std::string head = table.value + (table.unit.empty() ? "" : " (" + table.unit + ")");
  const bool known = std::any_of(table.rows.begin(), table.rows.end(), [](const TableRow& row) {
    return !row.reference && std::any_of(row.cells.begin(), row.cells.end(),
                                         [](const TableCell& c) { return c.state == TableCell::State::value; });
  });
  if (!known) return head + ": no value yet";
  return head + (table.lower_is_better ? ", lower is better" : ", higher is better");
}

// A dash that stands for a finished trial needs its reason.
std::string note_on_absent(const ReportSource& source, const std::string& metric) {
  std::size_t without = 0;
  for (const ReportTrial& t : source.trials)
    if (t.record && t.record->status == "done" && !find_metric(*t.record, metric)) ++without;
  if (without == 0) return "";
  return fmt::format("–: {} finished trial{} no {}: {}.", without, without == 1 ? " has" : "s have", metric,
                     metric.find("sqnr") != std::string::npos
                         ? "where nothing is quantized or lost the ratio is infinite"
                         : "`stamp show` lists the metrics of a trial");
}

}  // namespace

void finish_notes(Table& table, const ReportSource& source, const PaperEntry* paper) {
  bool ahead = false, repeated = false, interval = false, best = false, bits = false, difference = false;
  bool compared = false;                  // rows whose bold rests on intervals of the values themselves
  bool tested = false, untested = false;  // rows whose bold was held to paired intervals, and rows where it could not
  for (const TableRow& row : table.rows) {
    (bold_was_tested(row) ? tested : untested) |= !row.reference;
    compared = compared || (!row.reference && has_intervals_to_compare(row));
    for (const TableCell& c : row.cells) {
      ahead = ahead || c.sees_ahead;
      repeated = repeated || c.deviation.has_value();
      interval = interval || c.low.has_value();
      best = best || c.best;
      bits = bits || c.activation_bits.has_value();
      difference = difference || c.difference.has_value();
    }
  }
  std::vector<std::string> head;
  if (!table.value.empty())
    head.push_back(fmt::format("{}{}.", value_head(table),
                               !(best && untested && !tested) ? ""
                               : compared ? "; bold: best of its row, no interval of which overlaps another"
                                          : "; bold: best of its row"));
  if (tested && !table.value.empty())
    head.push_back(
        std::string("Bold: best of its row, and better than every other value of it: each 95% interval of the paired "
                    "differences (Student t over the items) excludes 0.") +
        (repeated ? " Means over repeats are paired over the repeats instead, so that what another seed does counts."
                  : "") +
        (untested ? " Where values have no items to pair, their intervals must not overlap; without any, bold is the "
                    "best as shown."
                  : ""));
  if (table.with_difference)
    head.push_back(difference ? fmt::format("Δ {0}: mean over the items of the difference to the column {0}{1}, with "
                                            "its paired 95% interval (Student t); bold where it excludes 0.",
                                            table.columns[table.baseline],
                                            table.value.find("perplexity") != std::string::npos
                                                ? ", in nats per token (the items are mean losses of windows)"
                                                : "")
                              : "No two values of a row have items that pair, so there are no differences.");
  if (!table.value.empty())
    if (const std::string note = note_on_absent(source, table.value); !note.empty()) head.push_back(note);
  if (interval) head.push_back("[a, b]: 95% interval over the items of one trial.");
  if (bits)
    head.push_back("(A n): average bits of the activation rows behind the value; short sequences have their own.");
  if (repeated)
    head.push_back(
        fmt::format("a ± b (n): mean and standard deviation over n {}.",
                    source.table.average.empty() ? "repeats" : "values of " + join(source.table.average, ", ")));
  if (ahead) head.push_back(std::string("† ") + sees_ahead_note + ".");
  if (paper && table.with_paper)
    head.push_back(fmt::format("paper: {} ({}); protocol: {}. difference: ours relative to the paper's.", paper->id,
                               paper->source, paper->protocol));
  if (paper && !table.with_paper)
    head.push_back(fmt::format("paper: {} has no value for any of these cells.", paper->id));
  table.notes.insert(table.notes.begin(), head.begin(), head.end());
  const std::vector<std::string> more = reader_notes(source, table.value);
  table.notes.insert(table.notes.end(), more.begin(), more.end());
}

}  // namespace stamp
