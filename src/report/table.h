// A table of one metric over the sweep, with what a careful reader must know under it. Product sections 3 and 6.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "report/difference.h"
#include "report/reference.h"
#include "report/source.h"

namespace stamp {

struct TableCell {
  enum class State { absent, value, failed, missing, pending };
  // absent: excluded or not in the sweep; with ids: the trials are done and have no such metric
  State state = State::absent;
  double value = 0;
  std::optional<double> low, high;  // of a single trial with an interval
  std::optional<double> deviation;  // over repeats, with two and more
  int samples = 0;                  // repeats that went in
  std::int64_t items = 0;           // n of the metric
  std::optional<double> paper;
  bool sees_ahead = false;                // dagger
  std::optional<double> activation_bits;  // of the rows behind this very value, where the metric counted them
  // Best of its row. Where the values have items that pair, better than every other one by a paired interval too;
  // elsewhere ties as shown share it.
  bool best = false;
  std::vector<double> items_of;                // per item, means over repeats; empty where they do not pair
  std::map<std::string, double> of_repeats;    // by seed or number of the repeat: mean over its items, or the value
  std::string protocol;                        // of the metric
  std::optional<PairedDifference> difference;  // to the row's baseline, where asked for and the items pair
  std::vector<std::string> ids;
};

// `to` - `from`, paired over items, or, where one of them is a mean over repeats, over the repeats that both have: what
// another seed does is part of the difference then. Nothing where neither pairs or protocols differ.
std::optional<PairedDifference> cell_difference(const TableCell& from, const TableCell& to);

struct TableRow {
  std::vector<std::string> labels;
  std::vector<TableCell> cells;
  bool reference = false;  // the full-precision row
};

struct Table {
  std::string title;
  std::string value;  // metric, "" in the long layout (the columns are metrics)
  std::string unit;
  std::vector<std::string> row_heads;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> column_labels;  // of the grid: what each column's name is made of
  std::string columns_are;                              // "transform": what the columns vary
  bool with_paper = false;
  bool with_difference = false;  // a column "Δ <baseline>" after every column but the baseline's
  std::size_t baseline = 0;      // the column that differences are taken to
  bool lower_is_better = true;
  std::vector<TableRow> rows;
  std::vector<std::string> notes;  // under the table, plain text
};

// Layouts: "" or "grid": rows x columns of the table spec (or rows: everything that varies); "long": one row a trial,
// one column a metric. Settings that vary without being named by the spec split the rows, and a note says so.
// ConfigError: unknown layout, no such metric, values of different protocols that would share a column.
// `differences`: of every cell of the grid to its row's `identity` column, or to the first where there is none.
Table make_table(const ReportSource& source, const std::string& layout, const PaperEntry* paper,
                 bool differences = false);
const std::vector<std::string>& table_layouts();

std::string markdown(const Table& table);
std::string latex(const Table& table);  // booktabs
std::string csv(const Table& table);    // one line a cell, full precision

// 24.15, 335.5, 1062, 0.0123: four significant digits, never an exponent below 10^7.
std::string value_text(double value);
// Text of one cell's difference: "-1.370 [-1.600, -1.100]"; "" when there is none.
std::string difference_text(const TableCell& cell);
std::string csv_field(const std::string& text);  // RFC 4180
std::string csv_line(const std::vector<std::string>& fields);

}  // namespace stamp
