#include "config/build.h"

#include <algorithm>
#include <cstdlib>

#include "config/faults.h"

namespace stamp {
namespace {

const PlacedValue* last_given(const Assignments& assignments, const std::string& path) {
  for (auto a = assignments.rbegin(); a != assignments.rend(); ++a) {
    if (a->path == path) return &a->given;
  }
  return nullptr;
}

bool name_character(char c) {
  return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// ${NAME} is replaced where NAME is set; `complete` says whether all were.
std::string expand_variables(const std::string& text, bool& complete) {
  std::string out;
  complete = true;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i + 2;
    if (text.compare(i, 2, "${") == 0) {
      while (end < text.size() && name_character(text[end])) ++end;
    }
    if (text.compare(i, 2, "${") != 0 || end == i + 2 || end >= text.size() || text[end] != '}') {
      out += text[i++];
      continue;
    }
    const std::string name = text.substr(i + 2, end - i - 2);
    const char* value = std::getenv(name.c_str());
    if (value != nullptr && *value != '\0')
      out += value;
    else
      out += text.substr(i, end + 1 - i);
    complete = complete && value != nullptr && *value != '\0';
    i = end + 1;
  }
  return out;
}

// "models/SmolLM2-135M.Q4_0.gguf" -> "SmolLM2-135M.Q4_0"; a folder's name is taken whole, as it may end in "3.2-1B".
std::string model_name(const std::string& path) {
  fs::path p(path);
  if (!p.has_filename()) p = p.parent_path();
  const std::string extension = p.extension().string();
  return extension == ".gguf" || extension == ".safetensors" ? p.stem().string() : p.filename().string();
}

}  // namespace

std::string resolve_path(const std::string& written, const Place& place) {
  bool complete = true;
  const fs::path path = expand_variables(written, complete);
  if (!complete) return path.string();
  const fs::path folder = place.file == "--set" ? fs::path() : fs::path(place.file).parent_path();
  return fs::absolute(folder / path).lexically_normal().string();
}

TrialSpec build_trial(const Schema& schema, const Assignments& settings, const Assignments& assignments,
                      std::vector<std::string>& faults) {
  const auto given = [&](const std::string& path) {
    const PlacedValue* value = last_given(assignments, path);
    return value != nullptr ? value : last_given(settings, path);
  };
  TrialSpec spec;
  for (const Field& field : schema.fields()) {
    if (field.owner_kind) continue;
    if (const PlacedValue* value = given(field.path)) field.set(spec, value->value);
  }
  // Which plugins are active is known now.
  for (const Field& field : schema.fields()) {
    if (!field.owner_kind || !field.get(spec)) continue;
    const PlacedValue* value = given(field.path);
    const std::string fault = value == nullptr ? "" : check_value(field, value->value);
    if (!fault.empty())
      faults.push_back(value->place.text() + ": " + field.path + ": " + fault + ", for " + field.owner);
    field.set(spec, value == nullptr || !fault.empty() ? field.fallback : value->value);
  }
  const bool moved =
      last_given(assignments, "model.path") != nullptr && last_given(assignments, "model.name") == nullptr;
  if (moved || spec.model.name.empty()) spec.model.name = model_name(spec.model.path);
  return spec;
}

TrialSpec apply(const Experiment& experiment, const Assignments& assignments) {
  std::vector<std::string> faults;
  TrialSpec spec = build_trial(*experiment.schema, experiment.settings, assignments, faults);
  if (spec.model.path.empty())
    faults.push_back(experiment.source + ": model.path: missing; a GGUF file or a model folder");
  if (!faults.empty()) throw_faults(std::move(faults));
  return spec;
}

bool covers(const Exclusion& exclusion, const TrialSpec& trial, const Schema& schema) {
  return std::all_of(exclusion.when.begin(), exclusion.when.end(), [&](const Exclusion::When& when) {
    const std::optional<Json> held = schema.value(trial, when.path);
    return held &&
           std::any_of(when.values.begin(), when.values.end(), [&](const PlacedValue& v) { return v.value == *held; });
  });
}

}  // namespace stamp
