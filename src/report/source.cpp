#include "report/source.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "config/newer.h"

namespace stamp {

namespace {

void flatten_into(const Json& node, const std::string& prefix, std::vector<std::pair<std::string, Json>>& out) {
  for (const auto& [key, value] : node.items()) {
    const std::string path = prefix.empty() ? key : prefix + "." + key;
    if (value.is_object())
      flatten_into(value, path, out);
    else
      out.emplace_back(path, value);
  }
}

const Json* at_path(const Json& spec, const std::string& path) {
  const Json* node = &spec;
  for (const std::string& part : split(path, '.')) {
    if (!node->is_object()) return nullptr;
    const auto it = node->find(part);
    if (it == node->end()) return nullptr;
    node = &*it;
  }
  return node;
}

}  // namespace

std::optional<Json> setting(const Json& labels, const Json& spec, const std::string& path) {
  if (labels.is_object())
    if (const auto it = labels.find(path); it != labels.end()) return *it;
  if (const Json* j = at_path(spec, path)) return *j;
  if (spec.is_object() && spec.contains("quantization")) return newer_default(path);
  return std::nullopt;
}

std::string setting_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return number_text(value.get<double>());
  if (value.is_null()) return "auto";
  if (value.is_array()) {
    std::vector<std::string> parts;
    for (const Json& v : value) parts.push_back(setting_text(v));
    return join(parts, "+");
  }
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::vector<std::pair<std::string, Json>> flatten(const Json& spec) {
  std::vector<std::pair<std::string, Json>> out;
  if (spec.is_object()) flatten_into(spec, "", out);
  return out;
}

bool same_setting(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) return a.get<double>() == b.get<double>();
  return a == b;
}

bool matches(const Json& when, const Json& labels, const Json& spec) {
  for (const auto& [path, wanted] : when.items()) {
    const std::optional<Json> have = setting(labels, spec, path);
    if (!have) return false;
    const bool any =
        wanted.is_array() && !have->is_array()
            ? std::any_of(wanted.begin(), wanted.end(), [&](const Json& w) { return same_setting(w, *have); })
            : same_setting(wanted, *have);
    if (!any) return false;
  }
  return true;
}

std::vector<std::string> varied_paths(const ReportSource& source) {
  std::vector<std::pair<std::string, std::vector<Json>>> seen;
  for (const ReportTrial& t : source.trials) {
    for (const Json& labels : t.labels) {
      for (const auto& [path, value] : labels.items()) {
        auto it = std::find_if(seen.begin(), seen.end(), [&, &p = path](const auto& e) { return e.first == p; });
        if (it == seen.end()) it = seen.insert(seen.end(), {path, {}});
        const bool known = std::any_of(it->second.begin(), it->second.end(),
                                       [&, &v = value](const Json& o) { return same_setting(o, v); });
        if (!known) it->second.push_back(value);
      }
    }
  }
  std::vector<std::string> paths;
  for (const auto& [path, values] : seen)
    if (values.size() > 1) paths.push_back(path);
  return paths;
}

bool sets_protocol(const std::string& path) {
  return path.starts_with("model.") || path.starts_with("data.") || path.starts_with("zero_shot.") ||
         path.starts_with("images.");
}

bool idle_option(const std::string& path, const std::string& method) {
  const std::vector<std::string> parts = split(path, '.');
  static const std::set<std::string> sections{"weights", "activations", "kv_cache", "sequence", "allocation"};
  return parts.size() == 3 && parts[0] == "quantization" && !sections.contains(parts[1]) && method != parts[1];
}

std::string short_name(const std::string& path, const std::vector<std::string>& among) {
  const std::vector<std::string> parts = split(path, '.');
  std::string name;
  for (std::size_t used = 1; used <= parts.size(); ++used) {
    name = join({parts.end() - static_cast<std::ptrdiff_t>(used), parts.end()}, ".");
    const std::string suffix = "." + name;
    const bool alone = std::none_of(among.begin(), among.end(), [&](const std::string& other) {
      return other != path && (other == name || (other.size() > suffix.size() && other.ends_with(suffix)));
    });
    if (alone) break;
  }
  return name;
}

std::string label_text(const Json& labels, const std::vector<std::string>& paths) {
  std::vector<std::string> parts;
  for (const std::string& path : paths) {
    const auto it = labels.find(path);
    if (it != labels.end()) parts.push_back(short_name(path, paths) + "=" + setting_text(*it));
  }
  return join(parts, ", ");
}

}  // namespace stamp
