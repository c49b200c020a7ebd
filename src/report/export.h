// All records as one row a metric, for other programs. Columns: docs/records.md.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "results/record.h"

namespace stamp {

struct ExportRows {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;  // "" = unknown
  // One a column: every value that is there is a finite number. Columns that only ever hold numbers (bounds of an
  // interval) are so without any.
  std::vector<bool> numeric;
};
// `runs`: trial -> name of the experiment it was run for; others have none in their column.
ExportRows export_rows(const std::map<std::string, std::string>& runs, const std::vector<Record>& records);
std::string export_csv(const ExportRows& rows);
// A database of one table `metrics`, as the bytes of its file.
std::string export_sqlite(const ExportRows& rows);

}  // namespace stamp
