#include "sweep/shipped.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/text.h"
#include "config/yaml.h"

namespace stamp {

namespace {

// The name of a sweep's run; nothing when the file is no experiment.
std::optional<std::string> run_name(const fs::path& file) {
  std::vector<std::string> faults;
  const YamlNode root = read_yaml(file, faults);
  if (!faults.empty()) {
    const std::string folder = file.parent_path().filename().string();
    return file.stem() == "sweep" ? folder : folder + "_" + file.stem().string();
  }
  if (root.find("expectations") || root.find("entries")) return std::nullopt;
  const YamlNode* name = root.find("name");
  if (!name || !name->is_scalar()) return std::nullopt;
  return name->text;
}

fs::path expectations_of(const fs::path& file) {
  const std::string stem = file.stem().string();
  const fs::path expected = file.parent_path() / (stem == "sweep" ? "expected.yaml" : stem + "_expected.yaml");
  std::error_code ec;
  return fs::is_regular_file(expected, ec) ? expected : fs::path();
}

}  // namespace

std::vector<ShippedExperiment> shipped_experiments(const fs::path& folder) {
  std::error_code ec;
  if (!fs::is_directory(folder, ec))
    throw DataError(fmt::format("{}: no such folder; set STAMP_EXPERIMENTS to the folder of the shipped experiments",
                                folder.string()));
  std::vector<ShippedExperiment> out;
  for (const auto& inside : fs::directory_iterator(folder, ec)) {
    if (!inside.is_directory(ec)) continue;
    for (const auto& entry : fs::directory_iterator(inside.path(), ec)) {
      if (entry.path().extension() != ".yaml" || !entry.is_regular_file(ec)) continue;
      if (const auto name = run_name(entry.path())) out.push_back({*name, entry.path(), expectations_of(entry.path())});
    }
  }
  std::sort(out.begin(), out.end(), [](const ShippedExperiment& a, const ShippedExperiment& b) {
    return a.name != b.name ? a.name < b.name : a.file < b.file;
  });
  return out;
}

const ShippedExperiment& find_shipped(const std::vector<ShippedExperiment>& all, const std::string& name,
                                      const fs::path& folder) {
  std::vector<std::string> names;
  for (const ShippedExperiment& e : all) {
    if (e.name == name) return e;
    names.push_back(e.name);
  }
  throw ConfigError(fmt::format("{}: no experiment \"{}\"{}; {}", folder.string(), name, did_you_mean(name, names),
                                names.empty() ? "the folder holds none" : "there are " + join(names, ", ")));
}

std::string unset_variable(const std::string& path) {
  const std::size_t from = path.find("${"), to = path.find('}', from);
  return from == std::string::npos || to == std::string::npos ? "" : path.substr(from + 2, to - from - 2);
}

}  // namespace stamp
