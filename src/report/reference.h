// Values to hold ours against: published ones (configs/paper/*.yaml) and expectations (expected.yaml of an experiment).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"

namespace stamp {

class Schema;

struct PaperValue {
  Json when;  // settings -> value or alternatives
  std::string metric;
  double value = 0;
};

struct PaperEntry {
  std::string id;        // "stamp_table2.llama-3-8b"
  std::string source;    // paper and table
  std::string protocol;  // in words
  std::string unit;
  std::vector<PaperValue> values;
};

struct Expectation {
  std::string id;
  Json when;
  std::string metric;
  double value = 0;
  std::optional<double> relative, absolute;  // exactly one
  std::string source;
  Place place;
};

// Both are strict: unknown, missing and mistyped keys are faults with file, line and column, all in one ConfigError.
//   schema: 1
//   entries: [{id, source, protocol, unit, values: [{when: {path: value}, metric, value}]}]
std::vector<PaperEntry> read_paper(const fs::path& file);
// From all files of the folder. ConfigError with the nearest name when there is no such entry.
PaperEntry find_paper(const fs::path& folder, const std::string& id);

//   schema: 1
//   expectations: [{id, when, metric, value, tolerance: {relative: x} or {absolute: x}, source}]
// With a schema, the paths of `when` must be settings and their values such as a file may give; without, an expectation
// that nothing can ever meet is only found untested.
std::vector<Expectation> read_expectations(const fs::path& file, const Schema* schema = nullptr);

}  // namespace stamp
