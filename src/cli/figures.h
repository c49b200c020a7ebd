// Figures that `stamp plot` has drawn into a run folder, and whether they still show what the records hold.
#pragma once
#include <string>
#include <vector>

#include "cli/run_folder.h"
#include "report/page.h"

namespace stamp {

struct DrawnFigures {
  std::vector<PageFigure> figures;  // SVG where there is one, else PNG
  // Drawn from other data than the plan's records give now: of an experiment that was in the folder before, or before
  // the last trial finished.
  std::vector<std::string> stale;
};
// Those of a committed result are taken as they are: they were committed with its records.
DrawnFigures drawn_figures(const RunFolder& run, const ReportSource& source);

// Before drawing: the data of all figures. Files that have not changed are left alone, since a figure older than its
// data is stale; those of figures that the records have nothing for are removed. Gives the names written.
std::vector<std::string> write_plot_data(const RunStore& store, const ReportSource& source);
// After drawing all: figures that nothing was drawn for this time. `written`: what write_plot_data gave.
void remove_stale_figures(const RunStore& store, const std::vector<std::string>& written);

}  // namespace stamp
