// An experiment file read into typed parts: what every trial shares, and how the trials differ.
//
//   const Experiment e = read_experiment(path, overrides, catalog);   // all faults in one ConfigError
//   TrialSpec t = apply(e, {{"quantization.method", e.axes[0].values[1]}});
//
// Expansion (cartesian product of axes and zip groups, then cells, minus exclusions) is src/sweep's.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "config/schema.h"
#include "config/spec.h"

namespace stamp {

// A value that has passed the schema, with its place. Text paths and model paths are absolute already.
struct PlacedValue {
  Json value;
  Place place;
};

struct Assignment {
  std::string path;  // dotted field path, "quantization.sequence.transform"
  PlacedValue given;
};
using Assignments = std::vector<Assignment>;  // paths are distinct; a later one would win

struct Axis {
  std::string path;
  Place place;
  std::vector<PlacedValue> values;  // at least one, distinct
};

struct ZipGroup {
  Place place;
  std::vector<Axis> axes;  // at least one; all have the same number of values and are walked together
};

struct Cell {  // one extra trial: the base with these assignments, axes and zips not applied
  Place place;
  Assignments assignments;
};

struct Exclusion {
  struct When {
    std::string path;
    std::vector<PlacedValue> values;  // any of these
  };
  Place place;
  std::vector<When> when;  // all of these
  std::string because;
};

struct TableSpec {
  std::vector<std::string> rows, columns;  // field paths
  std::vector<std::string> average;        // field paths whose values are repeats of one measurement: seeds
  std::string value = "perplexity";        // a metric
  std::string paper;                       // key into configs/paper, "" = none
  std::string layout;                      // "" = the default one
};

struct Experiment {
  std::string name;
  std::string source;  // the file as given
  // What the composed file and --set say outside `sweep`, typed, in file order. Inactive plugins' options included.
  Assignments settings;
  TrialSpec base;  // apply() without assignments; model.path may be empty when the sweep gives it
  std::vector<Axis> axes;
  std::vector<ZipGroup> zips;
  std::vector<Cell> cells;
  std::vector<Exclusion> exclude;
  std::int64_t repeats = 1;
  TableSpec table;
  std::vector<std::string> warnings;  // "file:line:column: path: does nothing: ..."
  std::shared_ptr<const Schema> schema;
};

// `overrides` are "a.b=value" texts of --set: values are YAML scalars, places say "--set". They may name anything the
// file may hold ("sweep.axes.quantization.method=[rtn]"). Throws one ConfigError with every fault, one a line:
// "file:line:column: path: what was given; what is allowed". Neither models nor texts are opened. `catalog` must
// outlive the result.
Experiment read_experiment(const fs::path& path, const std::vector<std::string>& overrides, const Catalog& catalog);
// The same for a text that would stand at `path` (relative paths and `extends` start there).
Experiment parse_experiment(std::string_view text, const fs::path& path, const std::vector<std::string>& overrides,
                            const Catalog& catalog);
// The same for a reusable piece under configs/: any subset of the keys, no model needed.
Experiment read_piece(const fs::path& path, const Catalog& catalog);

// One typed trial: defaults, then the file's settings, then `assignments`. An option of a plugin is kept only when that
// plugin is active in the result. A model.path among the assignments without a model.name renames the model after its
// path. Throws ConfigError naming the places at fault (a value that no active plugin allows, a model without path).
TrialSpec apply(const Experiment& experiment, const Assignments& assignments);
// Does the exclusion cover the trial? An option that the trial's plugins do not have never matches.
bool covers(const Exclusion& exclusion, const TrialSpec& trial, const Schema& schema);

}  // namespace stamp
