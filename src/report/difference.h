// Differences between two values measured on the same items, with an interval that may be believed.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "report/source.h"

namespace stamp {

// Mean over the items of b - a, in the unit of the items (a perplexity's items are mean losses of windows, in nats a
// token), with its 95% interval: Student t over the pairs.
struct PairedDifference {
  double mean = 0, low = 0, high = 0;
  std::size_t items = 0;
  bool significant() const { return low > 0 || high < 0; }  // the interval excludes 0
  bool better(bool lower_is_better) const { return lower_is_better ? high < 0 : low > 0; }
};

// Nothing unless both have the same number of items, two at least, all of them finite.
std::optional<PairedDifference> paired_difference(const std::vector<double>& a, const std::vector<double>& b);
// The same for a metric of two finished records; also nothing when one lacks it or their protocols differ.
std::optional<PairedDifference> paired_difference(const Record& a, const Record& b, const std::string& metric);

// "nats per token" for the items of a perplexity, else the metric's own unit.
std::string item_unit(const Metric& metric);

// The trial that a trial of the sweep is held against: equal in every label but those of the table's columns, which
// are "identity" in it, or else what the first planned trial of the kind has. Null when the trial is its own baseline,
// or there is none with a result.
const ReportTrial* baseline_of(const ReportSource& source, const ReportTrial& trial);

}  // namespace stamp
