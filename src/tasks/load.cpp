#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "base/sha256.h"
#include "base/text.h"
#include "data/text.h"
#include "tasks/task.h"

namespace stamp {
namespace {

constexpr std::uint64_t largest_file = std::uint64_t{1} << 30;

bool is_file(const fs::path& path) {
  std::error_code code;
  return fs::is_regular_file(path, code);
}

std::vector<fs::path> places_below(const fs::path& folder, const std::string& file) {
  return {folder / "zero-shot" / file, folder / file};
}

TaskFile read(const fs::path& path) {
  return {path.string(), read_file(path, largest_file)};
}

const std::string& clipped(const std::vector<std::string>& list, std::size_t i) {
  return list[std::min(i, list.size() - 1)];
}

}  // namespace

std::size_t TaskItem::candidates() const {
  return std::max(contexts.size(), continuations.size());
}
const std::string& TaskItem::context(std::size_t candidate) const {
  return clipped(contexts, candidate);
}
const std::string& TaskItem::continuation(std::size_t candidate) const {
  return clipped(continuations, candidate);
}

const TaskPlugin& task(const std::string& name) {
  std::vector<std::string> names;
  for (const TaskPlugin& t : tasks()) {
    if (t.info.name == name) return t;
    names.push_back(t.info.name);
  }
  throw ConfigError("unknown task \"" + name + "\"; known: " + join(names, ", ") + did_you_mean(name, names));
}

std::string find_task_file(const std::string& name, const std::string& source) {
  const TaskPlugin& plugin = task(name);
  const bool own = source != "auto";
  if (own && is_file(source)) return source;
  std::error_code code;
  if (own && !fs::is_directory(source, code))
    throw DataError("task " + name + ": zero_shot.data " + source + " is neither a file nor a folder");
  const std::vector<std::string> folders = own ? std::vector<std::string>{source} : text_folders();
  for (const std::string& folder : folders)
    for (const std::string& file : plugin.files) {
      for (const fs::path& path : places_below(folder, file))
        if (is_file(path)) return path.string();
      // A user's folder may hold the files of one task directly.
      if (const fs::path path = fs::path(folder) / fs::path(file).filename(); own && is_file(path))
        return path.string();
    }
  throw DataError("task " + name + ": no " + join(plugin.files, " and no ") + " (or the same below zero-shot/) in " +
                  join(folders, ", ") + (own ? "" : "; zero_shot.data names a folder or a file of your own"));
}

TaskData load_task(const std::string& name, const std::string& source) {
  const TaskPlugin& plugin = task(name);
  const fs::path path = find_task_file(name, source);
  TaskFiles files{read(path), std::nullopt};
  if (!plugin.labels.empty())
    if (const fs::path labels = path.parent_path() / plugin.labels; is_file(labels)) files.labels = read(labels);
  TaskData data;
  data.name = name;
  data.items = plugin.read(files);
  data.file = path.filename().string();
  data.digest = sha256_hex(files.labels ? files.items.content + files.labels->content : files.items.content);
  data.path = path.string();
  if (data.items.empty()) throw DataError(data.path + ": holds no items of task " + name);
  return data;
}

}  // namespace stamp
