// The field list: every option of a trial with its name, type, default, allowed values, help, and when it matters.
// Reading, `--set`, sweeps, describe, completion, the reference page, canonical text and trial ids derive from it.
// Options of plugins (sequence transforms, allocators, weight quantizers, methods) are added from the catalog.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/plugin.h"
#include "config/spec.h"

namespace stamp {

struct Field {
  enum class Type { boolean, integer, real, text, choice, count, file, text_source, names };
  std::string path;  // "quantization.weights.bits"
  Type type = Type::text;
  Json fallback;                                             // as written in a file; "auto" where the plugin decides
  std::optional<double> min, max;                            // inclusive
  bool above_min = false;                                    // min itself is not allowed
  std::vector<double> numbers;                               // when not empty: the only numbers allowed
  std::vector<std::string> choices;                          // choice and names; for text_source the known names
  std::optional<PluginKind> names_of;                        // choices are the catalog's names of this kind
  bool automatic = false;                                    // `auto` is allowed
  std::string help;                                          // one line, with unit
  std::string when;                                          // "" = always matters; otherwise in words
  std::optional<PluginKind> owner_kind;                      // option of a plugin ...
  std::string owner;                                         // ... of this name
  bool hashed = true;                                        // enters the trial id
  std::function<std::optional<Json>(const TrialSpec&)> get;  // nothing: option of a plugin that is not active
  std::function<void(TrialSpec&, const Json&)> set;          // the value has passed check_value
  std::function<bool(const TrialSpec&)> matters;             // can it change a result of this trial?
};

// "an integer from 2 to 8, or 16", "one of: token, group", ...: the right-hand side of a message.
std::string allowed_text(const Field& field);
// Empty when `value` (boolean, number, text, or list of texts for names) may be given; otherwise "what was given; what
// is allowed (did you mean ...)".
std::string check_value(const Field& field, const Json& value);

class Schema {
 public:
  explicit Schema(const Catalog& catalog);  // the catalog must outlive the schema
  const Catalog& catalog() const { return *catalog_; }
  const std::vector<Field>& fields() const {
    return fields_;
  }  // in canonical order, plugin options last in their section
  // Several plugins may own an option of one path (levels of two transforms); plain fields come alone.
  std::vector<const Field*> find(const std::string& path) const;
  bool is_section(const std::string& path) const;                       // a map in the file: "quantization.weights"
  std::vector<std::string> children(const std::string& section) const;  // last parts of what a section may hold
  std::vector<std::string> paths() const;                               // distinct field paths, in order

  // What a trial holds at a path, as written in a file; nothing for unknown paths and inactive plugins' options.
  std::optional<Json> value(const TrialSpec& spec, const std::string& path) const;

 private:
  const Catalog* catalog_;
  std::vector<Field> fields_;
};

// spec.h's canonical(), trial_id() and trial_from_json() with a schema at hand: no field list is rebuilt per trial. A
// setting that came after trials had been run (config/newer.h) stands in the text where it differs from its default
// alone.
Json canonical(const TrialSpec& spec, const Schema& schema);
std::string trial_id(const TrialSpec& spec, const Schema& schema);
// Throws ConfigError when the text is not a canonical trial. A `paths` object (see with_paths) is read when there.
TrialSpec trial_from_json(const Json& json, const Schema& schema);
// canonical() plus `paths: {model, data_text, calibration_text}` and in it the unhashed settings that differ from their
// defaults: what a plan needs to run a trial and an id must not depend on.
Json with_paths(const TrialSpec& spec, const Schema& schema);
// Does the trial read a calibration text: method, transform, quantizer or allocation need it?
bool needs_calibration(const TrialSpec& spec, const Catalog& catalog);

// Does any of the trial's metrics read the work items of `section`: "data", "zero_shot" or "images" (finished ones or
// steps on the way to them)? See PluginInfo::reads.
bool reads(const TrialSpec& spec, const std::string& section, const Catalog& catalog);

// The top-level keys of an experiment file that are not part of a trial, for help and completion.
struct FileKey {
  std::string path, type, fallback, help;
};
const std::vector<FileKey>& file_keys();

// Markdown tables of the reference page. The first depends on the fields only, the second on the plugins.
std::string fields_markdown(const Schema& schema);
std::string plugins_markdown(const Schema& schema);

}  // namespace stamp
