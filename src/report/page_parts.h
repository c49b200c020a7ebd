// Parts of the page, each a string of HTML. Shared by the page's own sources only.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "report/page.h"
#include "report/table.h"

namespace stamp {

// What the parts of one run's section have in common.
struct PageContext {
  const PageRun& run;
  std::string key;                        // "r0": begins the ids of elements
  std::vector<std::string> varied;        // paths of labels with more than one value
  std::map<std::string, char> protocols;  // of the table's metric -> A, B, ...
  bool mixed() const { return protocols.size() > 1; }
};
PageContext page_context(const PageRun& run, std::size_t index);

const char* state_of(const ReportTrial& trial);  // done, failed, missing, not run
// The value of a label or a setting, "" when the trial has none.
std::string shown_setting(const ReportTrial& trial, const std::string& path);
double total_seconds(const Record& record);
// "rtn, haar": what the sweep varies, without the keys.
std::string trial_name(const PageContext& context, const ReportTrial& trial);
// Number of the method's colour, the same in all figures of all pages: 0 rtn, 1 smoothquant, ...; 0 to 9.
int method_colour(const std::string& method);

std::string table_part(const PageContext& context);   // the experiment's table with its notes, or why there is none
std::string figure_part(const PageContext& context);  // values with intervals, energy by row, figures of `stamp plot`
std::string heat_part(const PageContext& context);    // error of slots by layer
std::string trials_part(const PageContext& context);  // filters, the table, details of every trial
std::string explained_part(const PageContext& context);  // where transforms sit
std::string provenance_part(const PageContext& context);

std::string value_figure(const PageContext& context);   // SVG; "" without values
std::string energy_figure(const PageContext& context);  // SVG; "" without rows of slots

// Slots of a trial by layer and kind, for the heat map and the data.
struct HeatMap {
  std::vector<std::string> layers, kinds;  // kinds in the order in which a pass meets them
  struct Measure {
    const char* key;
    const char* name;
    const char* unit;
    bool log_scale;
    bool high_is_bad;
  };
  static const std::vector<Measure>& measures();  // ratio first
  // Values by trial id, then measure, then layer and kind; absent ones are not numbers.
  std::map<std::string, std::vector<std::vector<std::vector<double>>>> values;
  std::vector<std::string> trials;  // with slots, in plan order
};
HeatMap heat_map(const PageContext& context);
// Shades 0 (good) to 8 (bad) of a value within all values of its measure.
int heat_shade(const HeatMap::Measure& measure, double low, double high, double value);
// Smallest and largest finite value of a measure over all trials; {0, 0} when there is none.
std::pair<double, double> heat_range(const HeatMap& map, std::size_t measure);
std::string heat_text(const HeatMap::Measure& measure, double value);

// src/report/page/*, embedded by the build.
extern const char* const page_style;
extern const char* const page_script;

}  // namespace stamp
