#include "tasks/arc.h"

#include <algorithm>

#include "base/text.h"
#include "tasks/lines.h"
#include "tasks/text_rules.h"

namespace stamp {
namespace {

const std::string& member_text(const JsonLine& json, const Json& object, const char* key, const std::string& where) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || found == object.end() || !found->is_string() ||
      found->get_ref<const std::string&>().empty())
    json.fail(where, std::string("needs \"") + key + "\", text that is not empty");
  return found->get_ref<const std::string&>();
}

TaskItem read_item(const Line& line, const std::string& prefix, const std::string& suffix) {
  const JsonLine json(line);
  const Json& question = json.object("question");
  TaskItem item;
  item.contexts = {prefix + member_text(json, question, "stem", "question") + suffix};
  const auto choices = question.find("choices");
  if (choices == question.end() || !choices->is_array() || choices->size() < 2)
    json.fail("question", "needs \"choices\", a list of two or more");
  std::vector<std::string> labels;
  for (const Json& choice : *choices) {
    const std::string& text = member_text(json, choice, "text", "question.choices");
    item.continuations.push_back(" " + text);
    item.characters.push_back(code_points(text));
    labels.push_back(member_text(json, choice, "label", "question.choices"));
  }
  const std::string answer = json.text("answerKey");
  const auto found = std::find(labels.begin(), labels.end(), answer);
  if (found == labels.end())
    json.fail("answerKey", in_quotes(answer) + "; one of the labels is expected: " + join(labels, ", "));
  item.gold = found - labels.begin();
  return item;
}

std::vector<TaskItem> read(const TaskFiles& files) {
  return science_questions(files.items, "Question: ", "\nAnswer:");
}

TaskPlugin plugin(const char* name, const char* summary, const char* cost, const char* file) {
  TaskPlugin t;
  t.info.name = name;
  t.info.summary = summary;
  t.info.source =
      "Clark et al. 2018, arXiv:1803.05457; prompt: lm-evaluation-harness ai2_arc; specification methods 13.2";
  t.info.cost = cost;
  t.normalized = true;
  t.files = {file};
  t.read = read;
  return t;
}

}  // namespace

std::vector<TaskItem> science_questions(const TaskFile& file, const std::string& prefix, const std::string& suffix) {
  std::vector<TaskItem> items;
  for (const Line& line : lines_of(file)) items.push_back(read_item(line, prefix, suffix));
  return items;
}

TaskPlugin arc_easy_task() {
  return plugin("arc_easy", "grade-school science, easy set; acc_norm", "2376 items", "arc/ARC-Easy-Test.jsonl");
}

TaskPlugin arc_challenge_task() {
  return plugin("arc_challenge", "grade-school science, challenge set; acc_norm", "1172 items",
                "arc/ARC-Challenge-Test.jsonl");
}

}  // namespace stamp
