// All records as one row a metric, for other programs. Columns: docs/records.md.
#pragma once
#include <string>
#include <vector>

#include "results/record.h"

namespace stamp {

struct ExportRows {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;  // "" = unknown
  std::vector<bool> numeric;                   // one a column: every value that is there is a finite number
};
ExportRows export_rows(const std::string& run, const std::vector<Record>& records);
std::string export_csv(const ExportRows& rows);
// A database of one table `metrics`, as the bytes of its file.
std::string export_sqlite(const ExportRows& rows);

}  // namespace stamp
