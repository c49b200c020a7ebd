// Two runs side by side: which settings differ, which metrics differ, and by how much on the same items.
#pragma once
#include <string>
#include <vector>

#include "report/source.h"

namespace stamp {

struct SettingDifference {
  std::string path;
  std::string a, b;  // "" = the trial has no such setting
};

struct MetricDifference {
  std::string metric;
  double a = 0, b = 0;
  std::string refused;  // why they cannot be compared ("protocols differ: ..."), else ""
  // Mean over the items of b - a with its 95% interval (Student t over pairs), where both have the same items.
  std::optional<double> mean, low, high;
  std::size_t items = 0;
  std::string unit;  // of the items: "nats per token" for a perplexity
};

struct TrialPair {
  std::string a, b;   // ids
  std::string label;  // B's settings among those that vary in it: "method=rtn, calibration.context=64"
  std::vector<SettingDifference> settings;
  std::vector<MetricDifference> metrics;
  std::vector<std::string> only_a, only_b;  // metrics that the other one lacks
};

struct Comparison {
  // Every trial of A has the one value and every trial of B the other: what the two runs differ in as a whole.
  std::vector<SettingDifference> whole;
  std::vector<TrialPair> pairs;
  std::vector<std::string> only_a, only_b;  // unmatched finished trials: id and settings that vary
};

// Trials pair up when their settings are equal apart from `whole`. Failed and unfinished ones are unmatched.
// Two single trials always pair up.
Comparison compare(const std::vector<Record>& a, const std::vector<Record>& b);
std::string comparison_text(const Comparison& comparison, const std::string& a_name, const std::string& b_name);

struct PairedInterval {
  double mean = 0;
  std::optional<double> low, high;  // none for fewer than two pairs: one sample has no deviation
};
PairedInterval paired_interval(const std::vector<double>& a, const std::vector<double>& b);
double student_t_975(std::size_t degrees_of_freedom);  // two-sided 95% quantile; at least 1 degree

}  // namespace stamp
