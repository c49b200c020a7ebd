#include "tasks/piqa.h"

#include "tasks/lines.h"
#include "tasks/text_rules.h"

namespace stamp {
namespace {

// JSON lines goal, sol1, sol2; the answer stands in `label` or on the same line of the file of labels.
std::vector<TaskItem> read(const TaskFiles& files) {
  const std::vector<Line> lines = lines_of(files.items);
  std::vector<Line> labels;
  if (files.labels) {
    labels = lines_of(*files.labels);
    if (labels.size() != lines.size())
      line_fault(files.labels->path, std::to_string(labels.size()) + " labels for the " + std::to_string(lines.size()) +
                                         " items of " + files.items.path);
  }
  std::vector<TaskItem> items;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const JsonLine json(lines[i]);
    TaskItem item;
    item.contexts = {"Question: " + json.text("goal") + "\nAnswer:"};
    for (const char* key : {"sol1", "sol2"}) {
      const std::string text = json.text(key);
      item.continuations.push_back(" " + text);
      item.characters.push_back(code_points(text));
    }
    if (labels.empty()) {
      if (!json.has("label")) json.fail("label", "missing, and there is no valid-labels.lst beside the file");
      item.gold = json.index("label", 2);
    } else {
      item.gold = small_number(labels[i].text, 2);
      if (item.gold < 0) line_fault(labels[i].place, in_quotes(labels[i].text) + "; 0 or 1 is expected");
    }
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace

TaskPlugin piqa_task() {
  TaskPlugin t;
  t.info.name = "piqa";
  t.info.summary = "physical common sense, two solutions of a goal; acc_norm";
  t.info.source = "Bisk et al. 2020, arXiv:1911.11641; prompt: lm-evaluation-harness piqa; specification methods 13.2";
  t.info.cost = "1838 items";
  t.normalized = true;
  t.files = {"piqa/valid.jsonl"};
  t.labels = "valid-labels.lst";
  t.read = read;
  return t;
}

}  // namespace stamp
