#include "config/experiment.h"

#include <algorithm>
#include <map>

#include "base/text.h"
#include "config/build.h"
#include "config/compose.h"
#include "config/faults.h"
#include "config/yaml.h"

namespace stamp {
namespace {

bool file_name_character(char c) {
  return c == '_' || c == '-' || c == '.' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool names_a_folder(const std::string& name) {
  return std::all_of(name.begin(), name.end(), file_name_character) && name != "." && name != "..";
}

class Reader {
 public:
  Reader(const fs::path& path, const Catalog& catalog) : path_(path) {
    e_.schema = std::make_shared<const Schema>(catalog);
    e_.source = path.string();
  }

  // `faults` come from composing `root`.
  Experiment read(const YamlNode& root, std::vector<std::string> faults, bool piece) {
    faults_ = std::move(faults);
    if (root.is_map()) read_root(root);
    if (e_.name.empty()) e_.name = default_name();
    if (root.is_map() && !piece && root.find("name") == nullptr && !names_a_folder(e_.name))
      fault(Place{path_.string(), 0, 0}, "name",
            "missing, and \"" + shortened(e_.name) +
                "\", after the file, cannot name the run folder; give one of letters, digits, _, - and .");
    if (root.is_map() && !piece && !sets_model()) {
      fault(Place{path_.string(), 0, 0}, "model.path",
            "missing; a GGUF file or a model folder, here or in a file named under `extends`");
    }
    e_.base = build_base();
    if (!faults_.empty()) throw_faults(std::move(faults_));
    if (!piece) e_.warnings = idle_settings(e_);
    return std::move(e_);
  }

 private:
  const Schema& schema() const { return *e_.schema; }

  void fault(const Place& at, const std::string& path, const std::string& what) {
    faults_.push_back(at.text() + ": " + (path.empty() ? "" : path + ": ") + what);
  }
  void unknown_key(const YamlEntry& entry, const std::string& path, const std::vector<std::string>& allowed) {
    fault(entry.key_place, path,
          "unknown key; allowed here: " + join(allowed, ", ") + did_you_mean(entry.key, allowed));
  }
  bool want_map(const YamlNode& node, const std::string& path) {
    if (node.is_map()) return true;
    if (!node.is_null()) fault(node.place, path, describe_node(node) + "; a map");
    return false;
  }
  bool want_list(const YamlNode& node, const std::string& path) {
    if (node.is_list()) return true;
    if (!node.is_null()) fault(node.place, path, describe_node(node) + "; a list");
    return false;
  }

  // Plain settings of the file itself, outside the field list.
  std::string text_at(const YamlNode& node, const std::string& path) {
    const YamlScalar s = scalar_of(node);
    if (node.is_scalar() && s.type == YamlScalar::Type::text && !node.text.empty()) return node.text;
    fault(node.place, path,
          describe_node(node) + "; text" + (node.is_scalar() && !node.text.empty() ? " (put it in quotes)" : ""));
    return {};
  }
  std::int64_t integer_at(const YamlNode& node, const std::string& path, std::int64_t least, std::int64_t most) {
    const YamlScalar s = scalar_of(node);
    if (node.is_scalar() && s.type == YamlScalar::Type::integer) {
      const auto value = s.value.get<std::int64_t>();
      if (value >= least && value <= most) return value;
    }
    fault(node.place, path,
          describe_node(node) + "; an integer from " + std::to_string(least) + " to " + std::to_string(most));
    return least;
  }

  void read_root(const YamlNode& root) {
    for (const YamlEntry& entry : root.entries) {
      if (entry.key == "schema") {
        integer_at(entry.value, "schema", 1, 1);
      } else if (entry.key == "name") {
        read_name(entry.value);
      } else if (entry.key == "sweep") {
        read_sweep(entry.value);
      } else if (entry.key == "table") {
        read_table(entry.value);
      } else {
        read_setting(entry, "");
      }
    }
    refuse_double_sweeps();
  }

  void read_name(const YamlNode& node) {
    const std::string name = text_at(node, "name");
    if (!names_a_folder(name)) {
      fault(node.place, "name", describe_node(node) + "; letters, digits, _, - and . (it names the run folder)");
    } else {
      e_.name = name;
    }
  }

  // experiments/bound_tightness/sweep.yaml is called after its folder.
  std::string default_name() const {
    const fs::path path = fs::absolute(path_).lexically_normal();
    const std::string stem = path.stem().string();
    return stem == "sweep" ? path.parent_path().filename().string() : stem;
  }

  std::vector<std::string> allowed_keys(const std::string& section) const {
    std::vector<std::string> keys = schema().children(section);
    if (section.empty()) {
      for (const FileKey& key : file_keys()) {
        if (key.path.find('.') == std::string::npos) keys.push_back(key.path);
      }
    }
    return keys;
  }

  void read_setting(const YamlEntry& entry, const std::string& section) {
    const std::string path = section.empty() ? entry.key : section + "." + entry.key;
    // A key with a dot would reach into a section from outside and hide a duplicate.
    if (entry.key.find('.') != std::string::npos) {
      fault(entry.key_place, path, "a key with a dot; write sections as nested maps (dotted paths belong under sweep)");
    } else if (!schema().find(path).empty()) {
      if (auto value = read_value(entry.value, path)) e_.settings.push_back({path, std::move(*value)});
    } else if (!schema().is_section(path)) {
      unknown_key(entry, path, allowed_keys(section));
    } else if (want_map(entry.value, path)) {
      for (const YamlEntry& child : entry.value.entries) read_setting(child, path);
    }
  }

  // A value at a field path, checked; nothing after a fault. `path` is known.
  std::optional<PlacedValue> read_value(const YamlNode& node, const std::string& path) {
    const std::vector<const Field*> fields = schema().find(path);
    std::string remark;
    const std::optional<Json> json = plain_value(node, fields.front()->type == Field::Type::names, remark);
    if (!json) {
      fault(node.place, path, describe_node(node) + "; " + allowed_text(*fields.front()) + remark);
      return std::nullopt;
    }
    // An option of several plugins: which one is active is known per trial only (apply), one of them must allow it.
    const bool allowed =
        std::any_of(fields.begin(), fields.end(), [&](const Field* f) { return check_value(*f, *json).empty(); });
    if (!allowed) {
      std::string why = check_value(*fields.front(), *json);
      if (json->is_number()) why = describe_node(node) + why.substr(why.find(';'));  // as written: 1e2, not 100.0
      fault(node.place, path, why);
      return std::nullopt;
    }
    return PlacedValue{normalised(*fields.front(), *json, node.place), node.place};
  }

  static std::optional<Json> plain_value(const YamlNode& node, bool list_wanted, std::string& remark) {
    if (node.is_list()) {
      remark = " (lists sweep only under sweep.axes)";
      if (!list_wanted) return std::nullopt;
      Json list = Json::array();
      for (const YamlNode& item : node.items) {
        const std::optional<Json> value = plain_value(item, false, remark);
        if (!value) return std::nullopt;
        list.push_back(*value);
      }
      return list;
    }
    if (!node.is_scalar()) return std::nullopt;
    const YamlScalar s = scalar_of(node);
    if (s.type != YamlScalar::Type::malformed) return s.value;
    remark = " (" + s.remark + ")";
    return std::nullopt;
  }

  static Json normalised(const Field& field, const Json& value, const Place& place) {
    if (field.automatic && value == "auto") return value;
    const bool known = std::find(field.choices.begin(), field.choices.end(), value) != field.choices.end();
    if (field.type == Field::Type::file || (field.type == Field::Type::text_source && !known)) {
      return resolve_path(value.get<std::string>(), place);
    }
    if (field.type != Field::Type::names) return value;
    Json ordered = Json::array();  // a set: the order of the catalog
    for (const std::string& name : field.choices) {
      if (std::find(value.begin(), value.end(), Json(name)) != value.end()) ordered.push_back(name);
    }
    return ordered;
  }

  // -------------------------------------------------------------------------------------------- sweep

  void read_sweep(const YamlNode& node) {
    if (!want_map(node, "sweep")) return;
    for (const YamlEntry& entry : node.entries) {
      if (entry.key == "axes")
        read_axes(entry.value, axes_section, e_.axes);
      else if (entry.key == "zip")
        read_zips(entry.value);
      else if (entry.key == "cells")
        read_cells(entry.value);
      else if (entry.key == "exclude")
        read_exclusions(entry.value);
      else if (entry.key == "repeats")
        e_.repeats = integer_at(entry.value, "sweep.repeats", 1, 1000);
      else
        unknown_key(entry, "sweep." + entry.key, {"axes", "zip", "cells", "exclude", "repeats"});
    }
  }

  bool known_path(const YamlEntry& entry, const std::string& where) {
    if (!schema().find(entry.key).empty()) return true;
    const std::vector<std::string> paths = schema().paths();
    const std::string what =
        schema().is_section(entry.key)
            ? "a section; one field of it, as in \"" + first_below(entry.key) + "\""
            : "unknown setting; a path such as \"quantization.method\"" + did_you_mean(entry.key, paths);
    fault(entry.key_place, where + "." + entry.key, what);
    return false;
  }
  std::string first_below(const std::string& section) const {
    for (const std::string& path : schema().paths()) {
      if (path.compare(0, section.size() + 1, section + ".") == 0) return path;
    }
    return section;
  }

  void read_axes(const YamlNode& node, const std::string& where, std::vector<Axis>& axes) {
    if (!want_map(node, where)) return;
    for (const YamlEntry& entry : node.entries) {
      if (!known_path(entry, where)) continue;
      const std::string path = where + "." + entry.key;
      if (!entry.value.is_list() || entry.value.items.empty()) {
        fault(entry.value.place, path,
              (entry.value.is_list() ? "an empty list" : describe_node(entry.value)) +
                  "; a list of values to sweep over");
        continue;
      }
      axes.push_back(Axis{entry.key, entry.key_place, read_values(entry.value, entry.key)});
    }
  }

  std::vector<PlacedValue> read_values(const YamlNode& list, const std::string& path) {
    std::vector<PlacedValue> values;
    for (const YamlNode& item : list.items) {
      if (auto value = read_value(item, path)) values.push_back(std::move(*value));
    }
    return values;
  }

  void read_zips(const YamlNode& node) {
    if (!want_list(node, "sweep.zip")) return;
    for (const YamlNode& item : node.items) {
      ZipGroup group;
      group.place = item.place;
      if (!want_map(item, "sweep.zip")) continue;
      read_axes(item, "sweep.zip", group.axes);
      check_lengths(item);
      if (!group.axes.empty()) e_.zips.push_back(std::move(group));
    }
  }
  void check_lengths(const YamlNode& group) {
    const YamlEntry* first = nullptr;
    for (const YamlEntry& entry : group.entries) {
      if (!entry.value.is_list()) continue;
      if (first == nullptr) first = &entry;
      if (entry.value.items.size() == first->value.items.size()) continue;
      fault(entry.value.place, "sweep.zip." + entry.key,
            std::to_string(entry.value.items.size()) + " values; as many as " + first->key + " has, " +
                std::to_string(first->value.items.size()));
    }
  }

  void read_cells(const YamlNode& node) {
    if (!want_list(node, "sweep.cells")) return;
    for (const YamlNode& item : node.items) {
      Cell cell;
      cell.place = item.place;
      if (!want_map(item, "sweep.cells")) continue;
      for (const YamlEntry& entry : item.entries) {
        if (!known_path(entry, "sweep.cells")) continue;
        if (auto value = read_value(entry.value, entry.key)) cell.assignments.push_back({entry.key, std::move(*value)});
      }
      e_.cells.push_back(std::move(cell));
    }
  }

  void read_exclusions(const YamlNode& node) {
    if (!want_list(node, "sweep.exclude")) return;
    for (const YamlNode& item : node.items) {
      if (!item.is_map()) {
        fault(item.place, "sweep.exclude", describe_node(item) + "; {when: {path: value}, because: \"reason\"}");
        continue;
      }
      Exclusion exclusion;
      exclusion.place = item.place;
      for (const YamlEntry& entry : item.entries) {
        if (entry.key == "when")
          read_when(entry.value, exclusion);
        else if (entry.key == "because")
          exclusion.because = text_at(entry.value, "sweep.exclude.because");
        else
          unknown_key(entry, "sweep.exclude." + entry.key, {"when", "because"});
      }
      if (item.find("when") == nullptr)
        fault(item.place, "sweep.exclude.when", "missing; a map of settings, as {quantization.method: rtn}");
      if (item.find("because") == nullptr) fault(item.place, "sweep.exclude.because", "missing; the reason, in words");
      e_.exclude.push_back(std::move(exclusion));
    }
  }
  void read_when(const YamlNode& node, Exclusion& exclusion) {
    if (!node.is_map() || node.entries.empty()) {
      fault(node.place, "sweep.exclude.when",
            (node.is_map() ? "an empty map" : describe_node(node)) +
                "; a map of settings, as {quantization.method: rtn}");
      return;
    }
    for (const YamlEntry& entry : node.entries) {
      if (!known_path(entry, "sweep.exclude.when")) continue;
      const bool names = schema().find(entry.key).front()->type == Field::Type::names;
      Exclusion::When when{entry.key, {}};
      if (entry.value.is_list() && !names) {
        when.values = read_values(entry.value, entry.key);
      } else if (auto value = read_value(entry.value, entry.key)) {
        when.values.push_back(std::move(*value));
      }
      exclusion.when.push_back(std::move(when));
    }
  }

  // One path swept twice would let the later one win, silently.
  void refuse_double_sweeps() {
    std::map<std::string, Place> seen;
    const auto note = [&](const Axis& axis) {
      const auto [first, fresh] = seen.emplace(axis.path, axis.place);
      if (!fresh) fault(axis.place, "sweep.zip." + axis.path, "swept twice; also at " + first->second.text());
      for (std::size_t i = 0; i < axis.values.size(); ++i) {
        const bool zipped = std::none_of(e_.axes.begin(), e_.axes.end(), [&](const Axis& a) { return &a == &axis; });
        for (std::size_t j = 0; j < i && !zipped; ++j) {
          if (axis.values[i].value == axis.values[j].value)
            fault(axis.values[i].place, "sweep.axes." + axis.path, axis.values[i].value.dump() + " twice");
        }
      }
    };
    for (const Axis& axis : e_.axes) note(axis);
    for (const ZipGroup& group : e_.zips)
      for (const Axis& axis : group.axes) note(axis);
    for (const Assignment& setting : e_.settings) {
      if (setting.given.place.file == "--set" && seen.count(setting.path) != 0) {
        fault(setting.given.place, setting.path,
              "swept at " + seen.at(setting.path).text() + "; write --set sweep.axes." + setting.path + "=[value]");
      }
    }
  }

  // -------------------------------------------------------------------------------------------- table

  void read_table(const YamlNode& node) {
    if (!want_map(node, "table")) return;
    for (const YamlEntry& entry : node.entries) {
      if (entry.key == "rows")
        e_.table.rows = read_paths(entry.value, "table.rows");
      else if (entry.key == "columns")
        e_.table.columns = read_paths(entry.value, "table.columns");
      else if (entry.key == "average")
        e_.table.average = read_paths(entry.value, "table.average");
      else if (entry.key == "value")
        e_.table.value = text_at(entry.value, "table.value");
      else if (entry.key == "paper")
        e_.table.paper = text_at(entry.value, "table.paper");
      else if (entry.key == "layout")
        e_.table.layout = text_at(entry.value, "table.layout");
      else
        unknown_key(entry, "table." + entry.key, {"rows", "columns", "average", "value", "paper", "layout"});
    }
    for (const YamlEntry& entry : node.entries) {
      if (entry.key != "average") continue;
      for (const std::string& path : e_.table.average)
        for (const auto* others : {&e_.table.rows, &e_.table.columns})
          if (std::find(others->begin(), others->end(), path) != others->end())
            fault(entry.value.place, "table.average",
                  path + " tells rows or columns apart; it cannot be averaged over as well");
    }
  }
  std::vector<std::string> read_paths(const YamlNode& node, const std::string& where) {
    std::vector<std::string> paths;
    const auto add = [&](const YamlNode& item) {
      const std::string path = text_at(item, where);
      if (path.empty()) return;
      if (schema().find(path).empty()) {
        fault(item.place, where,
              describe_node(item) + "; a setting, such as \"quantization.method\"" +
                  did_you_mean(path, schema().paths()));
      }
      paths.push_back(path);
    };
    if (node.is_list())
      for (const YamlNode& item : node.items) add(item);
    else
      add(node);
    return paths;
  }

  // -------------------------------------------------------------------------------------------- the whole

  bool sets_model() const {
    const auto path = [](const auto& x) { return x.path == "model.path"; };
    if (std::any_of(e_.settings.begin(), e_.settings.end(), path) || std::any_of(e_.axes.begin(), e_.axes.end(), path))
      return true;
    if (std::any_of(e_.zips.begin(), e_.zips.end(),
                    [&](const ZipGroup& g) { return std::any_of(g.axes.begin(), g.axes.end(), path); }))
      return true;
    // A fault in the value was told already.
    return std::any_of(faults_.begin(), faults_.end(),
                       [](const std::string& f) { return f.find(": model") != std::string::npos; });
  }

  TrialSpec build_base() {
    std::vector<std::string> option_faults;
    TrialSpec base = build_trial(schema(), e_.settings, {}, option_faults);
    // With a sweep the base need not be a trial; apply() reports such faults where a trial meets them.
    if (e_.axes.empty() && e_.zips.empty()) faults_.insert(faults_.end(), option_faults.begin(), option_faults.end());
    return base;
  }

  fs::path path_;
  Experiment e_;
  std::vector<std::string> faults_;
};

}  // namespace

Experiment read_experiment(const fs::path& path, const std::vector<std::string>& overrides, const Catalog& catalog) {
  std::vector<std::string> faults;
  const YamlNode root = compose(path, overrides, faults);
  return Reader(path, catalog).read(root, std::move(faults), false);
}

Experiment parse_experiment(std::string_view text, const fs::path& path, const std::vector<std::string>& overrides,
                            const Catalog& catalog) {
  std::vector<std::string> faults;
  const YamlNode root = compose_text(text, path, overrides, faults);
  return Reader(path, catalog).read(root, std::move(faults), false);
}

Experiment read_piece(const fs::path& path, const Catalog& catalog) {
  std::vector<std::string> faults;
  const YamlNode root = compose(path, {}, faults);
  return Reader(path, catalog).read(root, std::move(faults), true);
}

}  // namespace stamp
