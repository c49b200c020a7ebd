// The numbers behind the plots, as CSV. Columns: docs/records.md.
#pragma once
#include <string>

#include "report/source.h"

namespace stamp {

std::string perplexity_csv(const ReportSource& source, const std::string& metric);
std::string bound_csv(const ReportSource& source);   // needs records read with their slots
std::string energy_csv(const ReportSource& source);  // needs records read with their slots

}  // namespace stamp
