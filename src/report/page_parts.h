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
  std::string key;                  // "r0": begins the ids of elements
  std::vector<std::string> varied;  // paths of labels with more than one value
  // Of the table's metric -> A, B, ...; one protocol has one letter on the whole page.
  std::map<std::string, std::string> protocols;
  bool meant = false;  // the sweep varies what makes a protocol: several of them are no accident
  bool mixed() const { return !meant && protocols.size() > 1; }
};
std::vector<PageContext> page_contexts(const PageRequest& request);
// "Protocol A: context 2048, ...", by letter.
std::vector<std::string> protocol_notes(const std::map<std::string, std::string>& letters);

struct TrialCounts {
  std::size_t done = 0, failed = 0, missing = 0, not_run = 0;
  std::size_t without_result() const { return failed + missing + not_run; }
};
TrialCounts trial_counts(const ReportSource& source);
std::string counts_html(const TrialCounts& counts, std::size_t excluded = 0);  // "14 done", "1 failed", ...

const char* state_of(const ReportTrial& trial);  // done, failed, missing, not run
// The value of a label or a setting, "" when the trial has none.
std::string shown_setting(const ReportTrial& trial, const std::string& path);
double total_seconds(const Record& record);
// "haar", but "levels 3": a word speaks for itself.
std::string named_value(const std::string& name, const std::string& value);
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

// Pieces of a table that page.js sorts and filters. Such a table has `data-controls`, the `key` of its controls, and
// `data-noun`, what its rows are.
struct PageHead {
  std::string html, type;  // type: text, number or auto, how the column sorts
  std::string help;
};
struct PageFilter {
  std::string id, label;
  std::size_t column = 0;
  std::vector<std::string> values;  // keys of the column's cells
};
std::string head_row(const std::vector<PageHead>& heads);
// A cell with the key it sorts by; an empty key sorts last.
std::string data_cell(const std::string& html, const std::string& key, bool numeric, const std::string& css = "");
std::string filter_controls(const std::string& key, const std::vector<PageFilter>& filters);

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
