// The numbers behind the plots, as CSV. Columns: docs/records.md.
#pragma once
#include <string>
#include <vector>

#include "report/source.h"

namespace stamp {

// Settings that figures tell apart by colour and line style, not by a label.
bool drawn_by_style(const std::string& path);

std::string perplexity_csv(const ReportSource& source, const std::string& metric);
std::string bound_csv(const ReportSource& source);   // needs records read with their slots
std::string energy_csv(const ReportSource& source);  // needs records read with their slots
// Of trials that make images; others have no line in them.
std::string images_csv(const ReportSource& source);
std::string steps_csv(const ReportSource& source);   // SQNR of every denoising step
std::string blocks_csv(const ReportSource& source);  // needs records read with their slots

// The table's metric against every number that takes three values or more in the sweep, one line a point; the average
// bits stand for the settings that make them.
std::string curves_csv(const ReportSource& source);

struct PlotFile {
  std::string name, text;  // "bound.csv"
};
// All files that the records have something to say for: those of texts, of images, or of both.
std::vector<PlotFile> plot_files(const ReportSource& source);

}  // namespace stamp
