#include "tasks/hellaswag.h"

#include "base/error.h"
#include "tasks/lines.h"
#include "tasks/text_rules.h"

namespace stamp {
namespace {

constexpr std::size_t endings = 4;

TaskItem made(const std::string& context, const std::vector<std::string>& candidates, std::int64_t gold,
              const std::string& place) {
  TaskItem item;
  item.contexts = {without_wikihow_marks(context)};
  item.gold = gold;
  for (const std::string& text : candidates) {
    const std::string ending = without_wikihow_marks(text);
    if (ending.empty()) line_fault(place, "an ending is empty");
    item.continuations.push_back(" " + ending);
    item.characters.push_back(code_points(ending));
  }
  if (item.contexts[0].empty()) line_fault(place, "the context is empty");
  return item;
}

// The data set's own form.
std::vector<TaskItem> read_json(const TaskFile& file) {
  std::vector<TaskItem> items;
  for (const Line& line : lines_of(file)) {
    const JsonLine json(line);
    const std::vector<std::string> texts = json.texts("endings", 2);
    // Where the context is one sentence, the second part is empty.
    items.push_back(
        made(json.text("activity_label") + ": " + json.text("ctx_a") + " " + capitalized(json.text_or_empty("ctx_b")),
             texts, json.index("label", texts.size()), json.place()));
  }
  return items;
}

// Six lines an item: "activity: context", the index of the right ending, four endings.
std::vector<TaskItem> read_text(const TaskFile& file) {
  const std::vector<Line> lines = lines_of(file);
  constexpr std::size_t step = endings + 2;
  std::vector<TaskItem> items;
  for (std::size_t i = 0; i < lines.size(); i += step) {
    if (lines.size() - i < step)
      line_fault(lines[i].place, "the last item has " + std::to_string(lines.size() - i) +
                                     " lines; a context, an index and four endings are expected");
    const Line& label = lines[i + 1];
    const std::int64_t gold = small_number(label.text, endings);
    if (gold < 0)
      line_fault(label.place, in_quotes(label.text) +
                                  "; the index of the right ending, 0 to 3, is expected on every sixth line from 2");
    std::vector<std::string> texts;
    for (std::size_t e = 0; e < endings; ++e) texts.emplace_back(lines[i + 2 + e].text);
    items.push_back(made(std::string(lines[i].text), texts, gold, lines[i].place));
  }
  return items;
}

std::vector<TaskItem> read(const TaskFiles& files) {
  return files.items.path.ends_with(".jsonl") ? read_json(files.items) : read_text(files.items);
}

}  // namespace

TaskPlugin hellaswag_task() {
  TaskPlugin t;
  t.info.name = "hellaswag";
  t.info.summary = "the likeliest of four endings; acc_norm";
  t.info.source =
      "Zellers et al. 2019, arXiv:1905.07830; prompt: lm-evaluation-harness hellaswag; specification methods 13.2";
  t.info.cost = "10042 items";
  t.normalized = true;
  t.files = {"hellaswag/hellaswag_val_full.txt", "hellaswag/hellaswag_val.jsonl"};
  t.read = read;
  return t;
}

}  // namespace stamp
