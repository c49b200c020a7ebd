// What the planner, the configuration reader, help, completion and the docs know of a plugin without
// building it. A plugin = a header, a source and one line in its kind's list (docs/extending.md).
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace stamp {

enum class PluginKind { architecture, sequence_transform, method, weight_quantizer, allocator, metric, text, task };
const char* name_of(PluginKind kind);  // "sequence transform", ...

struct OptionInfo {
  // count: a number of rows, or a share of the sequence, written s/32.
  enum class Type { boolean, integer, real, text, choice, count };
  std::string name;
  Type type = Type::real;
  Json fallback;                     // the default; null means "auto" (the value `auto` is allowed and is the default)
  std::optional<double> min, max;    // inclusive, for integer and real
  std::vector<std::string> choices;  // for choice
  std::string help;                  // one line, with unit
};

// What is known before a model is loaded.
struct PlanFacts {
  std::int64_t tokens = 0;   // rows the transform sees: context - skip_first
  std::int64_t context = 0;  // tokens of one work item
  std::int64_t skip_first = 0;
  double low_bits = 4;  // activations.bits
  int calibration_samples = 0;
  // Sequences of other lengths come too, or only (then tokens and context are 0): zero-shot questions.
  bool any_length = false;
  // The rows are an image's tokens, line by line on their grid. Their number is the model's: tokens and context are 0
  // as long as it is not known, and no plugin may refuse because of that.
  bool grid = false;
  Json options = Json::object();  // the plugin's own options, complete
};

struct PluginInfo {
  std::string name;     // as written in an experiment file
  std::string summary;  // one line
  std::string source;   // paper and equation, or section of the specification
  std::string cost;     // what it costs online, in words
  std::vector<OptionInfo> options;
  bool needs_calibration = false;
  // Metrics: what they observe: "data" (text windows), "zero_shot", "images" (finished ones), "steps" (denoising steps
  // on the way to these), or "items": steps where another metric reads images or steps, text windows otherwise.
  std::string reads = "data";
  bool needs_block_inputs = false;  // methods: of the full-precision model over the calibration items
  bool trained = false;  // methods: the result depends on the trial's grids and bits and is kept between runs
  bool reads_calibration() const { return needs_calibration || needs_block_inputs || trained; }
  // Empty when the combination works; otherwise the reason, as a phrase that ends a sentence.
  std::function<std::string(const PlanFacts&)> refuse;
};

class Catalog {
 public:
  void add(PluginKind kind, PluginInfo info);  // throws std::logic_error on a second plugin of the same name
  const PluginInfo* find(PluginKind kind, const std::string& name) const;
  const std::vector<PluginInfo>& list(PluginKind kind) const;
  std::vector<std::string> names(PluginKind kind) const;

 private:
  std::map<PluginKind, std::vector<PluginInfo>> entries_;
};

// Typed reads of complete option values.
double real_option(const Json& options, const std::string& name);
std::int64_t integer_option(const Json& options, const std::string& name);
bool flag_option(const Json& options, const std::string& name);
std::string text_option(const Json& options, const std::string& name);
// Rows that a count means in a sequence of `tokens`: the number itself; of a share s/n max(1, round(tokens / n)).
// Specification methods 2.5.
std::int64_t count_option(const Json& options, const std::string& name, std::int64_t tokens);
bool is_share(const Json& value);  // text "s/n" with a whole n from 1 to 10^9

// Fills defaults; throws ConfigError naming unknown keys (with the nearest name), wrong types, values out of range.
Json complete_options(const PluginInfo& info, const Json& given, const std::string& where);

}  // namespace stamp
