// Malformed items end in one message with the file, the line and the field.
#include <string>
#include <vector>

#include "base/error.h"
#include "support/catch.h"
#include "support/message.h"
#include "support/scratch.h"
#include "tasks/task.h"

using namespace stamp;
using stamp::test::data_error;
using stamp::test::lacks;
using stamp::test::Scratch;
using stamp::test::spill;

namespace {

struct Fault {
  const char* task;
  const char* file;  // its name decides the form
  std::string text;
  int line;
  const char* message;
};

const std::string arc_good =
    R"({"question":{"stem":"q","choices":[{"text":"a","label":"A"},{"text":"b","label":"B"}]},"answerKey":"A"})"
    "\n";
const std::string obqa_header = "ID\tQuestion Stem\tChoices\tComplete Question\tAnswer Key\n";

const std::vector<Fault>& faults() {
  static const std::vector<Fault> list{
      {"piqa", "valid.jsonl",
       R"({"goal": "g", "sol1": "a", "sol2": "b", "label": 0})"
       "\n{\n",
       2, "JSON"},
      {"piqa", "valid.jsonl", R"(["goal"])", 1, "a JSON object is expected"},
      {"piqa", "valid.jsonl", R"({"goal": "g", "sol1": "a", "label": 0})", 1,
       "sol2: missing; the item has goal, sol1, label"},
      {"piqa", "valid.jsonl", R"({"goal": 3, "sol1": "a", "sol2": "b", "label": 0})", 1, "goal: 3; text"},
      {"piqa", "valid.jsonl", R"({"goal": "g", "sol1": "", "sol2": "b", "label": 0})", 1, "sol1: \"\"; text"},
      {"piqa", "valid.jsonl", R"({"goal": "g", "sol1": "a", "sol2": "b", "label": 2})", 1, "from 0 to 1"},
      {"piqa", "valid.jsonl", R"({"goal": "g", "sol1": "a", "sol2": "b"})", 1, "valid-labels.lst"},
      {"piqa", "valid.jsonl",
       R"({"goal": "g", "sol1": "a", "sol2": "b", "label": 0})"
       "\n\n",
       2, "an empty line"},
      {"piqa", "valid.jsonl", "{\"goal\": \"\xff\"}\n", 1, "not UTF-8"},
      {"hellaswag", "h.txt", "c\n0\na\nb\nc\n", 1, "has 5 lines"},
      {"hellaswag", "h.txt", "c\n4\na\nb\nc\nd\n", 2, "\"4\"; the index"},
      {"hellaswag", "h.txt", "c\n1\na\n\nc\nd\n", 1, "an ending is empty"},
      {"hellaswag", "h.jsonl",
       R"({"activity_label": "a", "ctx_a": "b", "ctx_b": "", "endings": ["x", "y"], "label": ""})", 1,
       "label: \"\"; a number from 0 to 1"},
      {"hellaswag", "h.jsonl", R"({"activity_label": "a", "ctx_a": "b", "ctx_b": "", "endings": ["x"], "label": 0})", 1,
       "endings: 1 texts; at least 2"},
      {"arc_easy", "a.jsonl", arc_good + R"({"question": "q", "answerKey": "A"})", 2, "question: \"q\"; an object"},
      {"arc_easy", "a.jsonl", arc_good + R"({"question": {"stem": "q", "choices": []}, "answerKey": "A"})", 2,
       "choices"},
      {"arc_challenge", "a.jsonl",
       R"({"question":{"stem":"q","choices":[{"text":"a","label":"A"},{"text":"b","label":"B"}]},"answerKey":"C"})", 1,
       "answerKey: \"C\"; one of the labels is expected: A, B"},
      {"arc_easy", "a.jsonl",
       R"({"question":{"stem":"q","choices":[{"text":"a","label":"A"},{"label":"B"}]},"answerKey":"A"})", 1,
       "question.choices: needs \"text\""},
      {"winogrande", "w.jsonl", R"({"context_options": ["a"], "continuation": "b", "gold": 0})", 1, "at least 2"},
      {"winogrande", "w.jsonl", R"({"context_options": ["a", "b", "c"], "continuation": "b", "gold": 0})", 1, "more"},
      {"winogrande", "w.jsonl", R"({"sentence": "no blank", "option1": "a", "option2": "b", "answer": "1"})", 1,
       "blank"},
      {"winogrande", "w.jsonl", R"({"sentence": "a _ b", "option1": "a", "option2": "b", "answer": "3"})", 1, "answer"},
      {"winogrande", "w.jsonl", R"({"sentence": "a _", "option1": "a", "option2": "b", "answer": "1"})", 1, "nothing"},
      {"lambada", "l.jsonl", R"({"text": "word"})", 1, "one word"},
      {"lambada", "l.jsonl", R"({"text": "two words "})", 1, "ends in a space"},
      {"boolq", "b.jsonl", R"({"passage": "p", "question": "q", "label": "yes"})", 1, "true or false"},
      {"boolq", "b.jsonl", R"({"passage": "p", "question": "q"})", 1, "label: missing"},
      {"openbookqa", "o.tsv", "ID\tStem\n", 1, "the header"},
      {"openbookqa", "o.tsv", obqa_header + "1\tq\t(A) a (B) b\tq\tA\n", 2, "lack \"(C)\""},
      {"openbookqa", "o.tsv", obqa_header + "1\tq\t(A) a (B) b (C) c (D) d\tA\n", 2, "4 fields"},
      {"openbookqa", "o.tsv", obqa_header + "1\tq\t(A) a (B) b (C) c (D) d\tq\tE\n", 2, "answer key \"E\""},
      {"openbookqa", "o.tsv", obqa_header, 0, "holds no items"},
      {"lambada", "l.jsonl", "", 0, "is empty"},
  };
  return list;
}

}  // namespace

TEST_CASE("malformed items", "[tasks]") {
  for (const Fault& fault : faults()) {
    const Scratch folder;
    const auto file = folder.path() / fault.file;
    spill(file, fault.text);
    const std::string message = data_error([&] { load_task(fault.task, file.string()); });
    INFO(fault.task << ": " << fault.text);
    CHECK(lacks(message, fault.message) == "");
    const std::string place = fault.line == 0 ? file.string() + ": " : file.string() + ":" + std::to_string(fault.line);
    CHECK(message.substr(0, place.size()) == place);
  }
}

TEST_CASE("labels must fit the items", "[tasks]") {
  const Scratch folder;
  const auto file = folder.path() / "valid.jsonl";
  const std::string item = R"({"goal": "g", "sol1": "a", "sol2": "b"})"
                           "\n";
  spill(file, item + item);
  spill(folder.path() / "valid-labels.lst", "0\n");
  CHECK(lacks(data_error([&] { load_task("piqa", file.string()); }), "1 labels for the 2 items") == "");
  spill(folder.path() / "valid-labels.lst", "0\nx\n");
  CHECK(lacks(data_error([&] { load_task("piqa", file.string()); }), "valid-labels.lst:2: \"x\"; 0 or 1") == "");
  spill(folder.path() / "valid-labels.lst", "0\r\n1\r\n");
  CHECK(load_task("piqa", file.string()).items.at(1).gold == 1);
}
