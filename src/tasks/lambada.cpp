#include "tasks/lambada.h"

#include "tasks/lines.h"

namespace stamp {
namespace {

// JSON lines {text}; the target is what follows the last space.
std::vector<TaskItem> read(const TaskFiles& files) {
  std::vector<TaskItem> items;
  for (const Line& line : lines_of(files.items)) {
    const JsonLine json(line);
    const std::string text = json.text("text");
    const std::size_t space = text.rfind(' ');
    if (space == std::string::npos || space == 0) json.fail("text", "one word; nothing precedes the last word");
    if (space + 1 == text.size()) json.fail("text", "ends in a space; the last word is expected there");
    TaskItem item;
    item.contexts = {text.substr(0, space)};
    item.continuations = {text.substr(space)};
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace

TaskPlugin lambada_task() {
  TaskPlugin t;
  t.info.name = "lambada";
  t.info.summary = "the last word of a passage, right when greedy decoding says it; acc";
  t.info.source =
      "Paperno et al. 2016, arXiv:1606.06031, OpenAI's variant; prompt: lm-evaluation-harness lambada_openai; "
      "specification methods 13.2";
  t.info.cost = "5153 items";
  t.greedy = true;
  t.files = {"lambada/lambada_test.jsonl", "lambada/lambada_test_en.jsonl"};
  t.read = read;
  return t;
}

}  // namespace stamp
