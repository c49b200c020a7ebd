#include "tasks/openbookqa.h"

#include "base/text.h"
#include "tasks/arc.h"
#include "tasks/lines.h"
#include "tasks/text_rules.h"

namespace stamp {
namespace {

constexpr const char* header = "ID\tQuestion Stem\tChoices\tComplete Question\tAnswer Key";
constexpr std::size_t choices = 4;

// "(A) lions (B) humans (C) bunnies (D) grass" -> its four texts.
std::vector<std::string> choices_of(const std::string& text, const std::string& place) {
  std::vector<std::string> found;
  std::size_t at = 0;
  for (std::size_t i = 0; i < choices; ++i) {
    const std::string mark = std::string(i == 0 ? "(" : " (") + static_cast<char>('A' + i) + ") ";
    const std::size_t next = i == 0 ? (text.starts_with(mark) ? 0 : std::string::npos) : text.find(mark, at);
    if (next == std::string::npos)
      line_fault(place, "the choices lack " + in_quotes(trim(mark)) + ": " + in_quotes(text));
    if (i > 0) found.push_back(text.substr(at, next - at));
    at = next + mark.size();
  }
  found.push_back(text.substr(at));
  for (const std::string& choice : found)
    if (choice.empty()) line_fault(place, "an empty choice: " + in_quotes(text));
  return found;
}

TaskItem read_row(const Line& line) {
  const std::vector<std::string> fields = split(line.text, '\t');
  if (fields.size() != 5)
    line_fault(line.place, std::to_string(fields.size()) +
                               " fields; five are expected, separated by tabs: " + join(split(header, '\t'), ", "));
  TaskItem item;
  if (fields[1].empty()) line_fault(line.place, "the question is empty");
  item.contexts = {fields[1]};
  for (const std::string& choice : choices_of(fields[2], line.place)) {
    item.continuations.push_back(" " + choice);
    item.characters.push_back(code_points(choice));
  }
  const std::string answer = trim(fields[4]);
  if (answer.size() != 1 || answer[0] < 'A' || answer[0] > 'D')
    line_fault(line.place, "answer key " + in_quotes(fields[4]) + "; A, B, C or D is expected");
  item.gold = answer[0] - 'A';
  return item;
}

// The data set's tab-separated form, or its JSON lines, which have ARC's fields.
std::vector<TaskItem> read(const TaskFiles& files) {
  if (files.items.path.ends_with(".jsonl")) return science_questions(files.items, "", "");
  const std::vector<Line> lines = lines_of(files.items);
  if (lines[0].text != header)
    line_fault(lines[0].place, "the header is not \"" + join(split(header, '\t'), ", ") + "\" separated by tabs");
  std::vector<TaskItem> items;
  for (std::size_t i = 1; i < lines.size(); ++i) items.push_back(read_row(lines[i]));
  return items;
}

}  // namespace

TaskPlugin openbookqa_task() {
  TaskPlugin t;
  t.info.name = "openbookqa";
  t.info.summary = "elementary science without the book, four choices; acc_norm";
  t.info.source = "Mihaylov et al. 2018, arXiv:1809.02789; prompt: lm-evaluation-harness openbookqa";
  t.info.cost = "500 items";
  t.normalized = true;
  t.files = {"openbookqa/test.tsv", "openbookqa/test.jsonl"};
  t.read = read;
  return t;
}

}  // namespace stamp
