#include "report/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "config/schema.h"
#include "config/yaml.h"

namespace stamp {

namespace {

using Faults = std::vector<std::string>;

std::string at(const Place& place, const std::string& text) {
  return place.text() + ": " + text;
}

// A map with known keys; every fault goes into the list, reading goes on.
class StrictMap {
 public:
  StrictMap(const YamlNode& node, std::string where, const std::vector<std::string>& keys, Faults& faults)
      : node_(node), where_(std::move(where)), faults_(faults) {
    if (!node.is_map()) {
      faults_.push_back(at(node.place, fmt::format("{}: should be a map, is {}", where_, describe_node(node))));
      return;
    }
    for (const YamlEntry& e : node.entries)
      if (std::find(keys.begin(), keys.end(), e.key) == keys.end())
        faults_.push_back(at(e.key_place, fmt::format("{}: unknown key \"{}\"{}; known are {}", where_, e.key,
                                                      did_you_mean(e.key, keys), join(keys, ", "))));
  }
  const YamlNode* need(const char* key) const {
    const YamlNode* n = node_.find(key);
    if (!n && node_.is_map()) faults_.push_back(at(node_.place, fmt::format("{}: {} is missing", where_, key)));
    return n;
  }
  std::string text(const char* key, bool required = true) const {
    const YamlNode* n = required ? need(key) : node_.find(key);
    if (!n) return "";
    const YamlScalar s = n->is_scalar() ? scalar_of(*n) : YamlScalar{};
    if (s.type != YamlScalar::Type::text) {
      fault(key, "text", *n);
      return "";
    }
    return s.value.get<std::string>();
  }
  std::optional<double> number(const char* key, bool required = true) const {
    const YamlNode* n = required ? need(key) : node_.find(key);
    if (!n) return std::nullopt;
    const YamlScalar s = n->is_scalar() ? scalar_of(*n) : YamlScalar{};
    if (s.type != YamlScalar::Type::integer && s.type != YamlScalar::Type::real) {
      fault(key, "a number", *n);
      return std::nullopt;
    }
    return s.value.get<double>();
  }
  const std::vector<YamlNode>& list(const char* key) const {
    static const std::vector<YamlNode> none;
    const YamlNode* n = need(key);
    if (!n) return none;
    if (!n->is_list()) {
      fault(key, "a list", *n);
      return none;
    }
    return n->items;
  }
  // path -> scalar, or a list of alternatives
  Json conditions(const char* key, const Schema* schema = nullptr) const {
    Json out = Json::object();
    const YamlNode* n = need(key);
    if (!n) return out;
    if (!n->is_map()) {
      fault(key, "a map of setting to value", *n);
      return out;
    }
    for (const YamlEntry& e : n->entries) {
      if (e.value.is_scalar()) {
        out[e.key] = scalar(e.value);
      } else if (e.value.is_list()) {
        out[e.key] = Json::array();
        for (const YamlNode& item : e.value.items) out[e.key].push_back(scalar(item));
      } else {
        faults_.push_back(at(e.value.place, fmt::format("{}.{}.{}: should be a value or a list of values, is {}",
                                                        where_, key, e.key, describe_node(e.value))));
      }
      if (schema && out.contains(e.key)) check_condition(key, e, out[e.key], *schema);
    }
    return out;
  }

 private:
  void check_condition(const char* key, const YamlEntry& e, const Json& given, const Schema& schema) const {
    if (e.key == "repeat") return;  // of a sweep, told apart by its number
    const std::vector<const Field*> fields = schema.find(e.key);
    if (fields.empty()) {
      faults_.push_back(at(e.key_place, fmt::format("{}.{}.{}: no such setting{}", where_, key, e.key,
                                                    did_you_mean(e.key, schema.paths()))));
      return;
    }
    for (const Json& value : given.is_array() ? given : Json::array({given})) {
      std::string why;
      const bool allowed = std::any_of(fields.begin(), fields.end(), [&](const Field* f) {
        const bool alone = f->type == Field::Type::names && !(f->automatic && value == "auto");
        const std::string fault = check_value(*f, alone ? Json::array({value}) : value);
        if (why.empty()) why = fault;
        return fault.empty();
      });
      if (!allowed) faults_.push_back(at(e.value.place, fmt::format("{}.{}.{}: {}", where_, key, e.key, why)));
    }
  }
  Json scalar(const YamlNode& n) const {
    const YamlScalar s = n.is_scalar() ? scalar_of(n) : YamlScalar{};
    if (!n.is_scalar() || s.type == YamlScalar::Type::malformed || s.type == YamlScalar::Type::null)
      faults_.push_back(at(n.place, fmt::format("{}: should be a value, is {}", where_, describe_node(n))));
    return s.value;
  }
  void fault(const char* key, const char* expected, const YamlNode& n) const {
    faults_.push_back(at(n.place, fmt::format("{}.{}: should be {}, is {}", where_, key, expected, describe_node(n))));
  }
  const YamlNode& node_;
  std::string where_;
  Faults& faults_;
};

void check_schema(const StrictMap& map, const YamlNode& root, Faults& faults) {
  const auto schema = map.number("schema");
  if (schema && *schema != 1)
    faults.push_back(at(root.find("schema")->place,
                        fmt::format("schema {} is not known here; this program reads 1", number_text(*schema))));
}

}  // namespace

std::vector<PaperEntry> read_paper(const fs::path& file) {
  const YamlNode root = read_yaml(file);
  Faults faults;
  const StrictMap map(root, "file", {"schema", "entries"}, faults);
  check_schema(map, root, faults);
  std::vector<PaperEntry> entries;
  for (const YamlNode& node : map.list("entries")) {
    const StrictMap e(node, "entry", {"id", "source", "protocol", "unit", "values"}, faults);
    PaperEntry entry;
    entry.id = e.text("id");
    entry.source = e.text("source");
    entry.protocol = e.text("protocol");
    entry.unit = e.text("unit", false);
    for (const YamlNode& value : e.list("values")) {
      const StrictMap v(value, fmt::format("{}.values", entry.id), {"when", "metric", "value"}, faults);
      PaperValue p;
      p.when = v.conditions("when");
      p.metric = v.text("metric");
      p.value = v.number("value").value_or(0);
      entry.values.push_back(std::move(p));
    }
    if (std::any_of(entries.begin(), entries.end(), [&](const PaperEntry& o) { return o.id == entry.id; }))
      faults.push_back(at(node.place, fmt::format("entry {}: the id is used twice", entry.id)));
    entries.push_back(std::move(entry));
  }
  if (!faults.empty()) throw ConfigError(faults);
  return entries;
}

PaperEntry find_paper(const fs::path& folder, const std::string& id) {
  std::error_code ec;
  std::set<fs::path> files;  // sorted: the same message on every machine
  for (const auto& entry : fs::directory_iterator(folder, ec))
    if (entry.path().extension() == ".yaml") files.insert(entry.path());
  std::vector<std::string> ids;
  for (const fs::path& file : files) {
    for (PaperEntry& e : read_paper(file)) {
      if (e.id == id) return std::move(e);
      ids.push_back(e.id);
    }
  }
  throw ConfigError(
      fmt::format("table.paper: no entry \"{}\" in {}{}", id, (folder / "*.yaml").string(), did_you_mean(id, ids)));
}

std::vector<Expectation> read_expectations(const fs::path& file, const Schema* schema) {
  const YamlNode root = read_yaml(file);
  Faults faults;
  const StrictMap map(root, "file", {"schema", "expectations"}, faults);
  check_schema(map, root, faults);
  std::vector<Expectation> out;
  for (const YamlNode& node : map.list("expectations")) {
    const StrictMap m(node, "expectation", {"id", "when", "metric", "value", "tolerance", "source"}, faults);
    Expectation e;
    e.place = node.place;
    e.id = m.text("id");
    e.when = m.conditions("when", schema);
    e.metric = m.text("metric");
    e.value = m.number("value").value_or(0);
    e.source = m.text("source");
    if (const YamlNode* t = m.need("tolerance")) {
      const StrictMap tolerance(*t, fmt::format("{}.tolerance", e.id), {"relative", "absolute"}, faults);
      e.relative = tolerance.number("relative", false);
      e.absolute = tolerance.number("absolute", false);
      if (t->is_map() && e.relative.has_value() == e.absolute.has_value())
        faults.push_back(at(t->place, fmt::format("{}.tolerance: needs one of relative, absolute", e.id)));
      for (const auto& bound : {e.relative, e.absolute})
        if (bound && !(*bound >= 0))
          faults.push_back(at(t->place, fmt::format("{}.tolerance: must not be negative", e.id)));
    }
    if (std::any_of(out.begin(), out.end(), [&](const Expectation& o) { return o.id == e.id; }))
      faults.push_back(at(node.place, fmt::format("expectation {}: the id is used twice", e.id)));
    out.push_back(std::move(e));
  }
  if (!faults.empty()) throw ConfigError(faults);
  return out;
}

}  // namespace stamp
