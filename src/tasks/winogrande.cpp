#include "tasks/winogrande.h"

#include "tasks/lines.h"
#include "tasks/text_rules.h"

namespace stamp {
namespace {

// The sentence up to its blank, filled with either option, and the rest of it.
struct Filled {
  std::vector<std::string> contexts;
  std::string rest;
  std::int64_t gold = 0;
};

// {context_options, continuation, gold}.
Filled prepared_form(const JsonLine& json) {
  Filled f{json.texts("context_options", 2), json.text("continuation"), 0};
  if (f.contexts.size() != 2) json.fail("context_options", "more than two");
  f.gold = json.index("gold", 2);
  return f;
}

// The data set's own: {sentence, option1, option2, answer}, answer "1" or "2".
Filled original_form(const JsonLine& json) {
  const std::string sentence = json.text("sentence");
  const std::size_t blank = sentence.find('_');
  if (blank == std::string::npos) json.fail("sentence", "has no blank (_)");
  Filled f;
  for (const char* key : {"option1", "option2"}) f.contexts.push_back(sentence.substr(0, blank) + json.text(key));
  f.rest = sentence.substr(blank + 1);
  f.gold = json.index("answer", 3) - 1;
  if (f.gold < 0) json.fail("answer", "0; 1 or 2 is expected");
  return f;
}

std::vector<TaskItem> read(const TaskFiles& files) {
  std::vector<TaskItem> items;
  for (const Line& line : lines_of(files.items)) {
    const JsonLine json(line);
    Filled f = json.has("sentence") ? original_form(json) : prepared_form(json);
    TaskItem item;
    item.contexts = std::move(f.contexts);
    const std::string rest = stripped(f.rest);
    item.continuations = {" " + rest};
    if (rest.empty()) line_fault(json.place(), "nothing follows the blank");
    item.gold = f.gold;
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace

TaskPlugin winogrande_task() {
  TaskPlugin t;
  t.info.name = "winogrande";
  t.info.summary = "who is meant: the rest of the sentence after either name; acc";
  t.info.source =
      "Sakaguchi et al. 2019, arXiv:1907.10641; prompt: lm-evaluation-harness winogrande (partial evaluation, Trinh "
      "and Le 2018); specification methods 13.2";
  t.info.cost = "1267 items";
  t.files = {"winogrande/winogrande_dev.jsonl", "winogrande/dev.jsonl"};
  t.read = read;
  return t;
}

}  // namespace stamp
