// Every task against its data files and against prompts written out by hand from lm-evaluation-harness' templates.
#include <array>
#include <cstdlib>

#include "base/error.h"
#include "base/sha256.h"
#include "support/catch.h"
#include "support/message.h"
#include "support/paths.h"
#include "support/scratch.h"
#include "tasks/task.h"

using namespace stamp;
using stamp::test::data_error;
using stamp::test::lacks;
using stamp::test::Scratch;
using stamp::test::slurp;
using stamp::test::spill;

namespace {

std::string shared_folder() {
  return (stamp::test::repository() / ".." / "shared" / "data").string();
}

// Loads from the shared files; nothing, with a message, where they are not there.
std::optional<TaskData> shared(const std::string& name) {
  if (!std::filesystem::is_directory(shared_folder() + "/zero-shot")) {
    WARN("skipped: no zero-shot data beside the repository");
    return std::nullopt;
  }
  return load_task(name, shared_folder());
}

std::vector<std::int64_t> gold_counts(const TaskData& data, std::size_t kinds) {
  std::vector<std::int64_t> counts(kinds, 0);
  for (const TaskItem& item : data.items) ++counts.at(static_cast<std::size_t>(item.gold));
  return counts;
}

using Counts = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("piqa", "[tasks]") {
  const auto data = shared("piqa");
  if (!data) return;
  REQUIRE(data->items.size() == 1838);
  CHECK(gold_counts(*data, 2) == Counts{910, 928});
  const TaskItem& item = data->items[1];
  CHECK(item.contexts == std::vector<std::string>{"Question: dresser\nAnswer:"});
  CHECK(item.continuations ==
        std::vector<std::string>{" replace drawer with bobby pin ", " finish, woodgrain with  bobby pin "});
  CHECK(item.characters == Counts{30, 34});  // the spaces at the end count, as in len(choice)
  CHECK(item.gold == 1);
  CHECK(data->file == "valid.jsonl");
  const std::string folder = shared_folder() + "/zero-shot/piqa/";
  CHECK(data->digest == sha256_hex(slurp(folder + "valid.jsonl") + slurp(folder + "valid-labels.lst")));
}

TEST_CASE("hellaswag, the text form", "[tasks]") {
  const auto data = shared("hellaswag");
  if (!data) return;
  REQUIRE(data->items.size() == 10042);
  CHECK(gold_counts(*data, 4) == Counts{2515, 2485, 2584, 2458});
  const TaskItem& item = data->items[0];
  CHECK(item.contexts == std::vector<std::string>{"Roof shingle removal: A man is sitting on a roof. he"});
  REQUIRE(item.continuations.size() == 4);
  CHECK(item.continuations[3] == " starts pulling up roofing on a roof.");
  CHECK(item.characters[3] == 36);
  CHECK(item.gold == 3);
  CHECK(data->digest == "d572539320eb2050e858ca34b495bbe2103e3b3f1391a9c3bcdf215b0bb93bd1");
}

TEST_CASE("hellaswag, the data set's own form, is cleaned as lm-evaluation-harness does", "[tasks]") {
  const Scratch folder;
  const auto file = folder.path() / "hellaswag_val.jsonl";
  spill(file, R"({"ind": 1, "activity_label": "Home", "ctx_a": "How to x [header] [title] Go.", "ctx_b": "then HE",)"
              R"( "endings": ["runs [step] off.", "a", "b", "c"], "label": "0"})"
              "\n"
              R"({"activity_label": "Home", "ctx_a": "Two.", "ctx_b": "", "endings": ["a", "b"], "label": 1})"
              "\n");
  const TaskData data = load_task("hellaswag", file.string());
  REQUIRE(data.items.size() == 2);
  CHECK(data.items[0].contexts[0] == "Home: How to x . Go. Then he");
  CHECK(data.items[0].continuations[0] == " runs off.");
  CHECK(data.items[0].characters[0] == 9);
  CHECK(data.items[1].contexts[0] == "Home: Two.");  // an empty second part leaves no space
  CHECK(data.items[1].gold == 1);
  CHECK(load_task("hellaswag", folder.path().string()).items.size() == 2);
}

TEST_CASE("arc", "[tasks]") {
  const auto easy = shared("arc_easy"), challenge = shared("arc_challenge");
  if (!easy || !challenge) return;
  REQUIRE(easy->items.size() == 2376);
  CHECK(challenge->items.size() == 1172);
  // A to E and 1 to 4 of both labellings, counted from the file's answer keys.
  CHECK(gold_counts(*easy, 5) == Counts{565 + 26 + 5, 559 + 22 + 2 + 2, 610 + 23, 534 + 26 + 1, 1});
  CHECK(easy->items[1].contexts[0] ==
        "Question: Which piece of safety equipment is used to keep mold spores from entering the respiratory "
        "system?\nAnswer:");
  CHECK(easy->items[1].continuations ==
        std::vector<std::string>{" safety goggles", " breathing mask", " rubber gloves", " lead apron"});
  CHECK(easy->items[1].characters == Counts{14, 14, 13, 10});
  CHECK(easy->items[1].gold == 1);
}

TEST_CASE("winogrande", "[tasks]") {
  const auto data = shared("winogrande");
  if (!data) return;
  REQUIRE(data->items.size() == 1267);
  CHECK(gold_counts(*data, 2) == Counts{628, 639});
  const TaskItem& item = data->items[0];
  CHECK(item.contexts == std::vector<std::string>{"Sarah was a much better surgeon than Maria so Sarah",
                                                  "Sarah was a much better surgeon than Maria so Maria"});
  CHECK(item.continuations == std::vector<std::string>{" always got the easier cases."});
  CHECK(item.candidates() == 2);
  CHECK(item.context(1) == item.contexts[1]);
  CHECK(item.continuation(1) == item.continuations[0]);
  CHECK(item.gold == 1);
}

TEST_CASE("winogrande, the data set's own form, gives the same items", "[tasks]") {
  const Scratch folder;
  const auto own = folder.path() / "own.jsonl", prepared = folder.path() / "prepared.jsonl";
  spill(own, R"({"qID": "x", "sentence": "Ann thanked Bea, as _ had helped.", "option1": "Ann", "option2": "Bea", )"
             R"("answer": "2"})");
  spill(prepared, R"({"context_options": ["Ann thanked Bea, as Ann", "Ann thanked Bea, as Bea"], )"
                  R"("continuation": "had helped.", "gold": 1})");
  const TaskItem a = load_task("winogrande", own.string()).items.at(0);
  const TaskItem b = load_task("winogrande", prepared.string()).items.at(0);
  CHECK(a.contexts == b.contexts);
  CHECK(a.continuations == b.continuations);
  CHECK(a.continuations[0] == " had helped.");
  CHECK(a.gold == 1);
  CHECK(b.gold == 1);
}

TEST_CASE("lambada", "[tasks]") {
  const auto data = shared("lambada");
  if (!data) return;
  REQUIRE(data->items.size() == 5153);
  const TaskItem& item = data->items[0];
  CHECK(item.contexts[0].ends_with("I don't care about"));
  CHECK(item.continuations == std::vector<std::string>{" signs"});
  CHECK(item.gold == 0);
  CHECK(item.candidates() == 1);
  CHECK(data->digest == "4aa8d02cd17c719165fc8a7887fddd641f43fcafa4b1c806ca8abc31fabdb226");
}

TEST_CASE("boolq", "[tasks]") {
  const auto data = shared("boolq");
  if (!data) return;
  REQUIRE(data->items.size() == 3270);
  CHECK(gold_counts(*data, 2) == Counts{1237, 2033});
  CHECK(
      data->items[0].contexts[0].ends_with("corn uses much less petroleum than producing gasoline.\nQuestion: does "
                                           "ethanol take more energy make that produces?\nAnswer:"));
  CHECK(data->items[0].continuations == std::vector<std::string>{" no", " yes"});
  CHECK(data->items[0].gold == 0);
}

TEST_CASE("openbookqa", "[tasks]") {
  const auto data = shared("openbookqa");
  if (!data) return;
  REQUIRE(data->items.size() == 500);
  const TaskItem& item = data->items[2];
  CHECK(item.contexts == std::vector<std::string>{"Predators eat"});
  CHECK(item.continuations == std::vector<std::string>{" lions", " humans", " bunnies", " grass"});
  CHECK(item.characters == Counts{5, 6, 7, 5});
  CHECK(item.gold == 2);
}

TEST_CASE("openbookqa as JSON lines has ARC's fields and no words around the stem", "[tasks]") {
  const Scratch folder;
  const auto file = folder.path() / "test.jsonl";
  spill(file, R"({"id": "1", "question": {"stem": "Predators eat", "choices": [{"text": "lions", "label": "A"}, )"
              R"({"text": "bunnies", "label": "B"}]}, "answerKey": "B"})");
  const TaskItem item = load_task("openbookqa", file.string()).items.at(0);
  CHECK(item.contexts[0] == "Predators eat");
  CHECK(item.continuations == std::vector<std::string>{" lions", " bunnies"});
  CHECK(item.gold == 1);
}

TEST_CASE("a task's metric follows from what it is", "[tasks]") {
  for (const TaskPlugin& t : tasks()) {
    INFO(t.info.name);
    CHECK(t.info.summary.ends_with(t.normalized ? "; acc_norm" : "; acc"));
    const auto data = shared(t.info.name);
    if (!data) return;
    for (const TaskItem& item : data->items) {
      REQUIRE(item.candidates() >= (t.greedy ? 1u : 2u));
      REQUIRE(item.gold < static_cast<std::int64_t>(item.candidates()));
      REQUIRE(item.characters.size() == (t.normalized ? item.candidates() : 0u));
      for (const std::string& text : item.continuations) REQUIRE(text.front() == ' ');
      for (const std::int64_t n : item.characters) REQUIRE(n > 0);
    }
  }
}

TEST_CASE("where a task's file is looked for", "[tasks]") {
  const Scratch folder;
  const std::string text = R"({"text": "one two"})";
  CHECK(data_error([&] { find_task_file("lambada", folder.path().string()); }).find("lambada/lambada_test.jsonl") !=
        std::string::npos);
  spill(folder.path() / "lambada_test.jsonl", text);
  CHECK(find_task_file("lambada", folder.path().string()) == (folder.path() / "lambada_test.jsonl").string());
  spill(folder.path() / "lambada" / "lambada_test.jsonl", text);
  CHECK(find_task_file("lambada", folder.path().string()) ==
        (folder.path() / "lambada" / "lambada_test.jsonl").string());
  spill(folder.path() / "zero-shot" / "lambada" / "lambada_test.jsonl", text);
  const std::string nested = (folder.path() / "zero-shot" / "lambada" / "lambada_test.jsonl").string();
  CHECK(find_task_file("lambada", folder.path().string()) == nested);
  setenv("STAMP_DATA", folder.path().c_str(), 1);
  CHECK(find_task_file("lambada", "auto") == nested);
  unsetenv("STAMP_DATA");
  CHECK(lacks(data_error([&] { find_task_file("lambada", "/no/such/place"); }), "neither a file nor a folder") == "");
  CHECK_THROWS_WITH(find_task_file("hellaswagg", "auto"), Catch::Contains("did you mean \"hellaswag\""));
}
