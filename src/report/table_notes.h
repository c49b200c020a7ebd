// Inside report/: what stands under a table that is otherwise finished.
#pragma once
#include "report/table.h"

namespace stamp {

// What its values, bold, marks, intervals and columns mean, in front of the table's own notes; what a careful reader
// must know of the trials (report/notes.h) behind them. `paper` may be null.
void finish_notes(Table& table, const ReportSource& source, const PaperEntry* paper);

}  // namespace stamp
