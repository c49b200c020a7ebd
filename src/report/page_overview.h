// The top of a page of several runs: one row a run, and what several runs measured alike side by side. Values of
// different models or protocols are never held against each other.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "report/page_parts.h"

namespace stamp {

// Values of one run that may be held against each other: of one model, by one protocol.
struct RunPart {
  std::string model;
  std::string apart;  // "context 512": what else the run varies to make this part; "" where there is one part only
  std::string protocol, letter;
  std::string over;              // windows, images, ...
  std::set<std::int64_t> items;  // n of its values: as a rule one number
  ReportSource source;           // the run's, with this part's trials alone and without their slots
  std::optional<Table> table;    // of source; none where it was refused
  std::string refused;           // why
};

std::string shown_model(const ReportTrial& trial);
std::string items_text(const RunPart& part);  // "4 windows"
// Those of finished trials; one that has no value joins the part that its settings lead to, if they do.
std::vector<RunPart> run_parts(const PageContext& context);

// Of a part's best value over another one.
struct Lead {
  const TableCell* over = nullptr;
  std::optional<PairedDifference> paired;  // where items pair
  std::optional<bool> apart;               // elsewhere, where both values have intervals: do these not overlap?
};
struct Best {
  const TableCell* cell = nullptr;  // null where the part has no finite value
  bool is_baseline = false;
  Lead baseline, second;  // the identity transform (else the first column) of the same row; the second best value
};
Best best_of(const Table& table);
// "quarot, haar, levels 3": method, transform and what else the part varies, of the trial behind a cell.
std::string cell_name(const RunPart& part, const TableCell& cell);
// Distinct values of the full-precision model.
std::set<double> references_of(const RunPart& part);

// One table of what several runs measured alike: rows are method and transform, columns parts of runs.
struct SideBySide {
  std::string metric, unit;
  bool lower_is_better = true;
  std::vector<std::string> paths;  // settings besides method and transform that tell rows apart
  struct Column {
    std::size_t run = 0, part = 0;
    std::optional<double> full_precision;
  };
  // To the identity transform's value in the same column: in percent, or a difference in the metric's unit.
  struct Change {
    double value = 0;
    std::optional<double> low, high;  // paired, where items pair
    bool percent = false;
    bool significant = false;
  };
  struct Cell {
    TableCell cell;
    std::optional<Change> change;
  };
  struct Row {
    std::string method, transform, settings;
    std::vector<Cell> cells;  // one a column
  };
  std::vector<Column> columns;
  std::vector<Row> rows;
  std::vector<std::string> notes;  // what this table alone has to say
};

struct PageOverview {
  const std::vector<PageContext>& contexts;
  std::vector<std::string> names;           // of the runs, with the folder where two have one name
  std::vector<std::vector<RunPart>> parts;  // of every run; empty for a page of one
  std::vector<SideBySide> tables;
};
PageOverview page_overview(const std::vector<PageContext>& contexts);
std::string overview_part(const PageOverview& overview);  // "" for a page of one run
Json overview_data(const PageOverview& overview);

// A protocol without what is the model's own (tokenizer, BOS) and without how much was measured: values whose families
// differ are no measurements of the same thing.
std::string protocol_family(const std::string& protocol);
std::vector<SideBySide> side_by_side(const PageOverview& overview);
std::string side_by_side_part(const PageOverview& overview);
Json side_by_side_data(const PageOverview& overview);

}  // namespace stamp
