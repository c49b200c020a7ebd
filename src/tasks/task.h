// Zero-shot tasks: questions with candidate answers, each scored by the log-likelihood of a continuation given its
// context. Prompts are those of lm-evaluation-harness (specification methods 13.2). A task = a header, a source and one
// line in tasks/register.cpp.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/plugin.h"

namespace stamp {

// One question. Candidate c pairs contexts[min(c, last)] with continuations[min(c, last)]: most tasks have one context
// and several continuations, winogrande several contexts and one continuation, lambada one of each.
struct TaskItem {
  std::vector<std::string> contexts;       // not empty, UTF-8
  std::vector<std::string> continuations;  // not empty; begin with the space that joins them to the context
  std::int64_t gold = 0;                   // index of the right candidate
  // Characters (code points) of every candidate without the joining space: what acc_norm divides by. Empty where the
  // task has no acc_norm.
  std::vector<std::int64_t> characters;

  std::size_t candidates() const;
  const std::string& context(std::size_t candidate) const;
  const std::string& continuation(std::size_t candidate) const;
};

// A file as it was read: `path` for messages.
struct TaskFile {
  std::string path, content;
};
struct TaskFiles {
  TaskFile items;
  std::optional<TaskFile> labels;  // a file of answers beside the items, where the task has one and it is there
};

struct TaskPlugin {
  PluginInfo info;
  bool normalized = false;         // has acc_norm, which then is its value in averages; else acc is
  bool greedy = false;             // one candidate; right when it is what greedy decoding says
  std::vector<std::string> files;  // looked for in this order, below every folder
  std::string labels;              // name of the file of answers beside them, "" = none
  // Every line is read strictly: DataError with "path:line: what is wrong".
  std::vector<TaskItem> (*read)(const TaskFiles& files) = nullptr;
};
const std::vector<TaskPlugin>& tasks();
const TaskPlugin& task(const std::string& name);  // ConfigError with the nearest name

struct TaskData {
  std::string name;
  std::vector<TaskItem> items;
  std::string file;    // name of the items' file
  std::string digest;  // SHA-256 of the files' bytes, one after the other
  std::string path;
};

// Path of the task's items: `source` is "auto" (the folders of data/text.h and "zero-shot" below them), a folder that
// is laid out like those or holds the files directly, or one file. DataError lists where it looked.
std::string find_task_file(const std::string& name, const std::string& source);
// Reads all items. DataError: not found, malformed, no items.
TaskData load_task(const std::string& name, const std::string& source);

}  // namespace stamp
