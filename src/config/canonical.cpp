// Canonical text, trial ids and their inverse. The rules are in docs/experiment-file.md, section "Trial ids".
#include <algorithm>
#include <filesystem>

#include "base/sha256.h"
#include "base/text.h"
#include "config/faults.h"
#include "config/newer.h"
#include "config/schema.h"
#include "config/shift.h"

namespace stamp {
namespace {

Json* section_at(Json& root, const std::string& path, std::string& leaf) {
  Json* at = &root;
  const std::vector<std::string> parts = split(path, '.');
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) at = &(*at)[parts[i]];
  leaf = parts.back();
  return at;
}

// A known text keeps its name; of a path only the file's name counts, so that an id does not depend on where it lies.
// The record holds the text's digest beside.
Json canonical_value(const Field& field, const Json& value) {
  if (field.type == Field::Type::text_source) {
    const std::string text = value.get<std::string>();
    const bool known = std::find(field.choices.begin(), field.choices.end(), text) != field.choices.end();
    return known ? value : Json(std::filesystem::path(text).filename().string());
  }
  if (field.type == Field::Type::names && value.is_array()) {  // a set, in the order of the catalog
    Json ordered = Json::array();
    for (const std::string& name : field.choices) {
      if (std::find(value.begin(), value.end(), Json(name)) != value.end()) ordered.push_back(name);
    }
    for (const Json& name : value) {  // names the catalog lacks: a spec made by hand; kept, so that ids differ
      if (std::find(ordered.begin(), ordered.end(), name) == ordered.end()) ordered.push_back(name);
    }
    return ordered;
  }
  return value;
}

struct Leaf {
  std::string path;
  Json value;
};

void flatten(const Json& json, const std::string& prefix, const Schema& schema, std::vector<Leaf>& leaves,
             std::vector<std::string>& faults) {
  for (const auto& [key, value] : json.items()) {
    const std::string path = prefix.empty() ? key : prefix + "." + key;
    if (prefix.empty() && (key == "schema" || key == "repeat" || key == "paths")) continue;
    if (!schema.find(path).empty()) {
      leaves.push_back({path, value});
    } else if (schema.is_section(path) && value.is_object()) {
      flatten(value, path, schema, leaves, faults);
    } else {
      faults.push_back("trial: " + path + ": unknown key" + did_you_mean(key, schema.children(prefix)));
    }
  }
}

std::int64_t whole_number(const Json& json, const char* key, std::int64_t least, std::vector<std::string>& faults) {
  const auto found = json.find(key);
  if (found == json.end()) return least;
  if (!found->is_number_integer() || found->get<std::int64_t>() < least) {
    faults.push_back(std::string("trial: ") + key + ": " + found->dump() + "; an integer, at least " +
                     std::to_string(least));
    return least;
  }
  return found->get<std::int64_t>();
}

void set_leaves(const std::vector<Leaf>& leaves, bool options, const Schema& schema, TrialSpec& spec,
                std::vector<std::string>& faults) {
  for (const Leaf& leaf : leaves) {
    const std::vector<const Field*> fields = schema.find(leaf.path);
    if (fields.front()->owner_kind.has_value() != options) continue;
    const auto active =
        std::find_if(fields.begin(), fields.end(), [&](const Field* f) { return f->get(spec).has_value(); });
    if (active == fields.end()) {
      faults.push_back("trial: " + leaf.path + ": an option of a plugin that the trial does not use");
      continue;
    }
    // A text stands there by its name only, which need not look like the path it was.
    const bool text_name = (*active)->type == Field::Type::text_source && leaf.value.is_string();
    if (const std::string fault = text_name ? "" : check_value(**active, leaf.value); !fault.empty()) {
      faults.push_back("trial: " + leaf.path + ": " + fault);
    } else {
      (*active)->set(spec, leaf.value);
    }
  }
}

// Settings that say how to run a trial: they travel beside the paths.
bool travels_apart(const Field& field) {
  return !field.hashed && field.type != Field::Type::file;
}

void read_unhashed(const Json& json, const Schema& schema, TrialSpec& spec, std::vector<std::string>& faults) {
  const auto paths = json.find("paths");
  if (paths == json.end() || !paths->is_object()) return;
  for (const Field& field : schema.fields()) {
    const auto found = paths->find(field.path);
    if (!travels_apart(field) || found == paths->end()) continue;
    if (const std::string fault = check_value(field, *found); !fault.empty())
      faults.push_back("trial: paths: " + field.path + ": " + fault);
    else
      field.set(spec, *found);
  }
}

void read_path(const Json& json, const char* key, std::string& target, std::vector<std::string>& faults) {
  const auto paths = json.find("paths");
  if (paths == json.end()) return;
  if (!paths->is_object()) {
    faults.push_back("trial: paths: not a map");
    return;
  }
  const auto found = paths->find(key);
  if (found == paths->end()) return;
  if (found->is_string())
    target = found->get<std::string>();
  else
    faults.push_back(std::string("trial: paths.") + key + ": " + found->dump() + "; a path");
}

}  // namespace

bool needs_calibration(const TrialSpec& t, const Catalog& catalog) {
  const auto needs = [&](PluginKind kind, const std::string& name) {
    const PluginInfo* info = catalog.find(kind, name);
    return info != nullptr && info->reads_calibration();
  };
  const QuantizationSpec& q = t.quantization;
  const bool activations = q.activations.bits < 16, cache = q.kv_cache.bits < 16;
  if (needs_channel_means(q)) return true;
  if (needs(PluginKind::method, q.method)) return true;
  if (q.weights.bits < 16 && needs(PluginKind::weight_quantizer, q.weights.quantizer)) return true;
  if ((activations || (cache && q.kv_cache.transformed)) && needs(PluginKind::sequence_transform, q.sequence.transform))
    return true;
  if (!activations && !cache) return false;
  // two_level needs energies only when it picks by them, which its description cannot say.
  const auto pick = q.allocation.options.find("pick");
  return needs(PluginKind::allocator, q.allocation.kind) || (pick != q.allocation.options.end() && *pick == "energy");
}

bool reads(const TrialSpec& spec, const std::string& section, const Catalog& catalog) {
  const auto some = [&](const std::string& wanted) {
    return std::any_of(spec.evaluate.begin(), spec.evaluate.end(), [&](const std::string& name) {
      const PluginInfo* info = catalog.find(PluginKind::metric, name);
      return (info == nullptr ? PluginInfo().reads : info->reads) == wanted;
    });
  };
  const bool images = some("images") || some("steps");
  if (section == "images") return images;
  return some(section) || (section == "data" && some("items") && !images);
}

Json canonical(const TrialSpec& spec, const Schema& schema) {
  Json json = Json::object();
  json["schema"] = spec.schema;
  for (const Field& field : schema.fields()) {
    if (!field.hashed || !field.matters(spec)) continue;
    const std::optional<Json> value = field.get(spec);
    if (!value || value == newer_default(field.path)) continue;
    std::string leaf;
    Json* section = section_at(json, field.path, leaf);
    (*section)[leaf] = canonical_value(field, *value);
  }
  json["repeat"] = spec.repeat;
  return json;
}

std::string trial_id(const TrialSpec& spec, const Schema& schema) {
  // `replace`: a name that is not UTF-8 (from a path) must not throw in the middle of planning.
  return sha256_hex(canonical(spec, schema).dump(-1, ' ', false, Json::error_handler_t::replace)).substr(0, 12);
}

TrialSpec trial_from_json(const Json& json, const Schema& schema) {
  if (!json.is_object()) throw ConfigError("trial: not a map of settings");
  TrialSpec spec;
  std::vector<std::string> faults;
  std::vector<Leaf> leaves;
  spec.schema = whole_number(json, "schema", 1, faults);
  if (spec.schema != 1) faults.push_back("trial: schema: " + std::to_string(spec.schema) + "; this program reads 1");
  spec.repeat = whole_number(json, "repeat", 0, faults);
  flatten(json, "", schema, leaves, faults);
  set_leaves(leaves, false, schema, spec, faults);
  set_leaves(leaves, true, schema, spec, faults);
  read_unhashed(json, schema, spec, faults);
  read_path(json, "model", spec.model.path, faults);
  read_path(json, "data_text", spec.data.text, faults);
  read_path(json, "calibration_text", spec.calibration.text, faults);
  read_path(json, "zero_shot_data", spec.zero_shot.data, faults);
  read_path(json, "images_prompts", spec.images.prompts, faults);
  read_path(json, "images_classifier", spec.images.classifier, faults);
  read_path(json, "images_clip", spec.images.clip, faults);
  read_path(json, "images_lpips", spec.images.lpips, faults);
  read_path(json, "images_image_reward", spec.images.image_reward, faults);
  if (!faults.empty()) throw_faults(std::move(faults));
  // Complete: options left out take their defaults.
  for (const Field& field : schema.fields()) {
    if (!field.owner_kind) continue;
    if (const std::optional<Json> value = field.get(spec)) field.set(spec, *value);
  }
  return spec;
}

Json with_paths(const TrialSpec& spec, const Schema& schema) {
  Json json = canonical(spec, schema);
  Json paths = Json::object();
  paths["model"] = spec.model.path;
  if (reads(spec, "data", schema.catalog())) paths["data_text"] = spec.data.text;
  if (reads(spec, "zero_shot", schema.catalog()) && spec.zero_shot.data != "auto")
    paths["zero_shot_data"] = spec.zero_shot.data;
  if (reads(spec, "images", schema.catalog())) {
    const auto beside = [&](const char* key, const std::string& path) {
      if (path != "auto") paths[key] = path;
    };
    beside("images_prompts", spec.images.prompts);
    beside("images_classifier", spec.images.classifier);
    beside("images_clip", spec.images.clip);
    beside("images_lpips", spec.images.lpips);
    beside("images_image_reward", spec.images.image_reward);
  } else if (needs_calibration(spec, schema.catalog())) {
    paths["calibration_text"] = spec.calibration.text;
  }
  for (const Field& field : schema.fields()) {
    if (!travels_apart(field)) continue;
    const std::optional<Json> value = field.get(spec);
    if (value && *value != field.fallback) paths[field.path] = *value;
  }
  json["paths"] = std::move(paths);
  return json;
}

Json canonical(const TrialSpec& spec, const Catalog& catalog) {
  return canonical(spec, Schema(catalog));
}
std::string trial_id(const TrialSpec& spec, const Catalog& catalog) {
  return trial_id(spec, Schema(catalog));
}
TrialSpec trial_from_json(const Json& json, const Catalog& catalog) {
  return trial_from_json(json, Schema(catalog));
}

}  // namespace stamp
