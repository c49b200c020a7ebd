#include "models/pipeline/pipeline_folder.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "formats/json_text.h"

namespace stamp {
namespace {

constexpr const char* kIndex = "model_index.json";
constexpr const char* kDenoiser = "transformer";
constexpr std::uint64_t kMostBytes = std::uint64_t{64} << 20;  // of a configuration

}  // namespace

const std::vector<std::string>& PipelineFolder::supported() {
  static const std::vector<std::string> names = {"DiTPipeline", "PixArtAlphaPipeline", "PixArtSigmaPipeline",
                                                 "SanaPipeline", "SanaSprintPipeline"};
  return names;
}

PipelineFolder::PipelineFolder(const std::string& path) {
  if (!fs::exists(path)) throw DataError(path + ": no such file or folder; a pipeline's folder is needed");
  // "transformer/" has no file name of its own.
  fs::path given = fs::absolute(path).lexically_normal();
  if (!given.has_filename()) given = given.parent_path();
  if (fs::is_directory(given) && (fs::is_regular_file(given / kIndex) || fs::is_directory(given / kDenoiser))) {
    root_ = given;
    denoiser_ = given / kDenoiser;
    if (!fs::is_regular_file(denoiser_ / "config.json"))
      throw DataError(place(kDenoiser) + ": has no config.json; the pipeline's denoiser belongs there");
  } else {
    denoiser_ = given;
    root_ = (fs::is_directory(given) ? given : given.parent_path()).parent_path();
  }
  const fs::path index = root_ / kIndex;
  if (!fs::is_regular_file(index)) return;
  index_ = parse_json(read_file(index, kMostBytes), index.string());
  const auto name = index_.is_object() ? index_.find("_class_name") : index_.end();
  if (!index_.is_object() || name == index_.end() || !name->is_string())
    throw DataError(index.string() + ": must be a JSON object with the pipeline's _class_name");
  class_name_ = name->get<std::string>();
  if (std::find(supported().begin(), supported().end(), class_name_) == supported().end())
    throw DataError(index.string() + ": _class_name: \"" + class_name_ + "\"" + did_you_mean(class_name_, supported()) +
                    "; allowed: " + join(supported(), ", "));
}

std::string PipelineFolder::place(const std::string& part) const {
  return (root_ / part).string();
}

bool PipelineFolder::leaves_out(const std::string& part) const {
  const auto entry = index_.find(part);
  if (entry == index_.end()) return !fs::exists(root_ / part);
  return entry->is_null() || (entry->is_array() && !entry->empty() && entry->back().is_null());
}

std::string PipelineFolder::part(const std::string& part, const std::string& file, const std::string& what) const {
  const fs::path folder = root_ / part;
  if (const auto entry = index_.find(part); entry != index_.end() && leaves_out(part))
    throw DataError((root_ / kIndex).string() + ": " + part + " is null, but " + what + " is needed");
  if (!fs::is_directory(folder))
    throw DataError(folder.string() + ": the folder is missing; " + what + " belongs there");
  if (!file.empty() && !fs::is_regular_file(folder / file))
    throw DataError((folder / file).string() + ": the file is missing; it belongs to " + what);
  return folder.string();
}

Json PipelineFolder::scheduler() const {
  const fs::path file = fs::path(part("scheduler", "scheduler_config.json", "the scheduler")) / "scheduler_config.json";
  return parse_json(read_file(file, kMostBytes), file.string());
}

}  // namespace stamp
