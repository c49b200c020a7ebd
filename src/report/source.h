// What a report is made of: records with their place in the sweep. The caller reads the run folder; reports are pure.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "config/experiment.h"
#include "results/record.h"

namespace stamp {

// One planned trial with what became of it.
struct ReportTrial {
  std::string id;
  std::vector<Json> labels;      // path -> value; several where equal cells of the sweep merged
  std::optional<Record> record;  // none: not run yet, or its model is missing
  std::string missing;           // why it cannot run
};

struct ReportSource {
  std::string name;  // of the experiment
  TableSpec table;
  std::vector<ReportTrial> trials;  // in plan order
  struct Excluded {
    Json labels;
    std::string because;
  };
  std::vector<Excluded> excluded;
  std::size_t left_out = 0;  // records that are in no present plan
  bool smoke = false;
};

// The value at a dotted path: from the labels, else from the record's settings. Nothing when neither has it.
std::optional<Json> setting(const Json& labels, const Json& spec, const std::string& path);
// Text of a setting as tables and messages show it: strings without quotes, numbers shortest, lists joined by "+".
std::string setting_text(const Json& value);
// Every setting of a canonical spec by its dotted path, in order.
std::vector<std::pair<std::string, Json>> flatten(const Json& spec);
// Do two settings mean the same? Numbers by value (4 and 4.0), everything else exactly.
bool same_setting(const Json& a, const Json& b);
// All of `when` (path -> value, or a list of alternatives) hold.
bool matches(const Json& when, const Json& labels, const Json& spec);
// Paths of the labels that take more than one value, in order of appearance.
std::vector<std::string> varied_paths(const ReportSource& source);
// "transform=haar, levels=3" of the given paths; short names where they are unambiguous.
std::string label_text(const Json& labels, const std::vector<std::string>& paths);
// Settings that a protocol follows: of the model, the text, the tasks, the images. Values may differ in protocol by
// them and be meant to.
bool sets_protocol(const std::string& path);
// "quantization.<method>.<option>" of another method than this one, which never reads it.
bool idle_option(const std::string& path, const std::string& method);
// Last part of a path, or as many as it takes to be different from the other paths.
std::string short_name(const std::string& path, const std::vector<std::string>& among);

}  // namespace stamp
