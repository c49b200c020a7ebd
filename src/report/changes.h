// What moved between a result and the same experiment run again: one metric of every trial, before and now.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "report/compare.h"

namespace stamp {

struct TrialChange {
  std::string id;     // of the later trial
  std::string label;  // its settings among those that vary
  double before = 0, now = 0;
  double relative = 0;  // (now - before) / |before|; infinite from zero or from or to a value that is no number
  std::string refused;  // why they are not subtracted (other protocols), else ""
  bool moved() const { return relative != 0 || !refused.empty(); }
};

struct Changes {
  std::string metric;
  std::vector<SettingDifference> whole;  // settings that differ between the two as a whole
  std::vector<TrialChange> trials;       // not comparable ones first, then by the size of the difference, largest first
  std::vector<std::string> only_before, only_now;  // finished on one side alone, or failed there
  std::size_t without = 0;                         // pairs of which one has no such metric
};

// Pairs as `compare` does.
Changes changes(const std::vector<Record>& before, const std::vector<Record>& now, const std::string& metric);

// "unchanged: perplexity of 9 trials" or "3 of 9 trials moved, perplexity by at most +2.1% (method=rtn)"; then what
// stands on one side alone.
std::string changes_line(const Changes& changes);
// A line a trial under a head, to be set in columns; nothing where `trials` is empty.
std::vector<std::vector<std::string>> change_rows(const Changes& changes);

}  // namespace stamp
