#include "tasks/boolq.h"

#include "tasks/lines.h"

namespace stamp {
namespace {

// JSON lines {passage, question, label}, label true or false, in quotes or not.
std::vector<TaskItem> read(const TaskFiles& files) {
  std::vector<TaskItem> items;
  for (const Line& line : lines_of(files.items)) {
    const JsonLine json(line);
    TaskItem item;
    item.contexts = {json.text("passage") + "\nQuestion: " + json.text("question") + "?\nAnswer:"};
    item.continuations = {" no", " yes"};
    item.gold = json.flag("label") ? 1 : 0;
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace

TaskPlugin boolq_task() {
  TaskPlugin t;
  t.info.name = "boolq";
  t.info.summary = "yes or no, given a passage; acc";
  t.info.source = "Clark et al. 2019, arXiv:1905.10044; prompt: lm-evaluation-harness boolq (super_glue)";
  t.info.cost = "3270 items, long passages";
  t.files = {"boolq/val.jsonl"};
  t.read = read;
  return t;
}

}  // namespace stamp
