#include "report/difference.h"

#include <algorithm>
#include <cmath>

#include "report/compare.h"

namespace stamp {

namespace {

bool done(const ReportTrial& t) {
  return t.record && t.record->status == "done";
}

bool is_column(const std::vector<std::string>& columns, const std::string& path) {
  return std::find(columns.begin(), columns.end(), path) != columns.end();
}

// Equal in everything that the columns do not vary.
bool same_row(const Json& a, const Json& b, const std::vector<std::string>& columns) {
  const auto covered = [&](const Json& x, const Json& y) {
    for (const auto& [path, value] : x.items()) {
      if (is_column(columns, path)) continue;
      const auto it = y.find(path);
      if (it == y.end() || !same_setting(value, *it)) return false;
    }
    return true;
  };
  return covered(a, b) && covered(b, a);
}

bool all_identity(const Json& labels, const std::vector<std::string>& columns) {
  return std::all_of(columns.begin(), columns.end(), [&](const std::string& path) {
    const auto it = labels.find(path);
    return it != labels.end() && it->is_string() && it->get<std::string>() == "identity";
  });
}

}  // namespace

std::optional<PairedDifference> paired_difference(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size() || a.size() < 2) return std::nullopt;
  const auto finite = [](double v) { return std::isfinite(v); };
  if (!std::all_of(a.begin(), a.end(), finite) || !std::all_of(b.begin(), b.end(), finite)) return std::nullopt;
  const PairedInterval p = paired_interval(a, b);
  return PairedDifference{p.mean, *p.low, *p.high, a.size()};
}

std::optional<PairedDifference> paired_difference(const Record& a, const Record& b, const std::string& metric) {
  const Metric *x = find_metric(a, metric), *y = find_metric(b, metric);
  if (!x || !y || x->protocol != y->protocol) return std::nullopt;
  return paired_difference(x->items, y->items);
}

std::string item_unit(const Metric& metric) {
  return metric.name.find("perplexity") != std::string::npos ? "nats per token" : metric.unit;
}

const ReportTrial* baseline_of(const ReportSource& source, const ReportTrial& trial) {
  const std::vector<std::string>& columns = source.table.columns;
  if (columns.empty() || trial.labels.empty()) return nullptr;
  const ReportTrial* first = nullptr;
  for (const Json& mine : trial.labels)
    for (const ReportTrial& t : source.trials)
      for (const Json& theirs : t.labels) {
        if (!same_row(mine, theirs, columns)) continue;
        if (all_identity(theirs, columns)) return &t != &trial && done(t) ? &t : nullptr;
        if (!first) first = &t;
      }
  return first && first != &trial && done(*first) ? first : nullptr;
}

}  // namespace stamp
