#include "report/changes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/text.h"
#include "report/table.h"

namespace stamp {

namespace {

double relative_change(double before, double now) {
  if (before == now || (std::isnan(before) && std::isnan(now))) return 0;
  const double change = (now - before) / std::fabs(before);
  return std::isnan(change) ? std::numeric_limits<double>::infinity() : change;
}

// Two digits below a tenth of a percent, so that a change in the last digits of a value is not shown as none.
std::string percent(double relative) {
  if (!std::isfinite(relative)) return "no ratio";
  const double p = 100 * relative;
  return std::fabs(p) < 0.1 ? fmt::format("{:+.2g}%", p) : fmt::format("{:+.1f}%", p);
}

std::string count(std::size_t n, const char* one) {
  return fmt::format("{} {}{}", n, one, n == 1 ? "" : "s");
}

}  // namespace

Changes changes(const std::vector<Record>& before, const std::vector<Record>& now, const std::string& metric) {
  Comparison comparison = compare(before, now);
  Changes out;
  out.metric = metric;
  out.whole = std::move(comparison.whole);
  out.only_before = std::move(comparison.only_a);
  out.only_now = std::move(comparison.only_b);
  for (const TrialPair& pair : comparison.pairs) {
    const auto it = std::find_if(pair.metrics.begin(), pair.metrics.end(),
                                 [&](const MetricDifference& m) { return m.metric == metric; });
    if (it == pair.metrics.end()) {
      ++out.without;
      continue;
    }
    const double relative = it->refused.empty() ? relative_change(it->a, it->b) : 0;
    out.trials.push_back({pair.b, pair.label, it->a, it->b, relative, it->refused});
  }
  std::stable_sort(out.trials.begin(), out.trials.end(), [](const TrialChange& a, const TrialChange& b) {
    if (a.refused.empty() != b.refused.empty()) return !a.refused.empty();
    return std::fabs(a.relative) > std::fabs(b.relative);
  });
  return out;
}

std::string changes_line(const Changes& c) {
  std::vector<std::string> parts;
  const auto moved = static_cast<std::size_t>(
      std::count_if(c.trials.begin(), c.trials.end(), [](const TrialChange& t) { return t.moved(); }));
  const auto refused = static_cast<std::size_t>(
      std::count_if(c.trials.begin(), c.trials.end(), [](const TrialChange& t) { return !t.refused.empty(); }));
  if (c.trials.empty()) {
    parts.push_back(fmt::format("no trial to compare by {}", c.metric));
  } else if (moved == 0) {
    parts.push_back(fmt::format("unchanged: {} of {}", c.metric, count(c.trials.size(), "trial")));
  } else if (moved > refused) {
    const TrialChange& most = c.trials[refused];
    const std::string by = std::isfinite(most.relative)
                               ? "by at most " + percent(most.relative)
                               : fmt::format("from {} to {}", value_text(most.before), value_text(most.now));
    parts.push_back(fmt::format("{} of {} moved, {} {}{}", moved - refused, count(c.trials.size(), "trial"), c.metric,
                                by, most.label.empty() ? "" : " (" + most.label + ")"));
  }
  if (refused > 0) parts.push_back(fmt::format("{} not comparable, protocols differ", count(refused, "trial")));
  if (!c.only_before.empty()) parts.push_back(fmt::format("{} only before", count(c.only_before.size(), "trial")));
  if (!c.only_now.empty()) parts.push_back(fmt::format("{} only now", count(c.only_now.size(), "trial")));
  if (c.without > 0) parts.push_back(fmt::format("{} without {} on both sides", count(c.without, "trial"), c.metric));
  return join(parts, "; ");
}

std::vector<std::vector<std::string>> change_rows(const Changes& c) {
  std::vector<std::vector<std::string>> rows;
  if (c.trials.empty()) return rows;
  rows.push_back({"trial", "settings", "before", "now", "change"});
  for (const TrialChange& t : c.trials)
    rows.push_back({t.id, t.label, value_text(t.before), value_text(t.now),
                    !t.refused.empty() ? t.refused
                    : t.relative == 0  ? "equal"
                                       : percent(t.relative)});
  return rows;
}

}  // namespace stamp
