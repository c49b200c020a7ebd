// All records as one row a metric, for other programs. Columns: docs/records.md.
#pragma once
#include <string>
#include <vector>

#include "base/files.h"
#include "results/record.h"

namespace stamp {

struct ExportRows {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;  // "" = unknown
  std::vector<bool> numeric;                   // one a column: every value that is there is a finite number
};
ExportRows export_rows(const std::string& run, const std::vector<Record>& records);
std::string export_csv(const ExportRows& rows);
// One table `metrics`. Written beside and renamed, so that readers see the old or the new file. StoreError.
void export_sqlite(const ExportRows& rows, const fs::path& file);

}  // namespace stamp
