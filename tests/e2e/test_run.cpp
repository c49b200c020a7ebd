#include <csignal>
#include <fstream>
#include <set>
#include <thread>

#include "sandbox.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::test;

TEST_CASE("a run makes the folder, the records, the logs and the table; the same command then does nothing") {
  const Sandbox box;
  const Ended first = box.stamp({"run", "experiment.yaml"});
  INFO(first.err);
  REQUIRE(first.code == 0);
  CHECK(contains(first.err, "6 trials: 6 new"));
  CHECK(contains(first.out, "| rtn"));
  CHECK(contains(first.out, "| fp"));
  CHECK_FALSE(contains(first.out, "this must not reach the data"));
  CHECK(slurp(box.run_folder() / "tables" / "table.md") == first.out);
  CHECK(slurp(box.run_folder() / "tables" / "table.tex").find("\\toprule") != std::string::npos);
  const std::vector<std::string> ids = box.ids();
  REQUIRE(ids.size() == 6);
  for (const std::string& id : ids) CHECK(contains(slurp(box.run_folder() / "logs" / (id + ".log")), id));
  CHECK_FALSE(std::filesystem::exists(box.run_folder() / "running.json"));
  CHECK(box.records().records.size() == 6);

  const std::string records = slurp(box.run_folder() / "records.jsonl");
  const Ended second = box.stamp({"run", "experiment.yaml"});
  CHECK(second.code == 0);
  CHECK(contains(second.err, "6 trials: 6 done"));
  CHECK_FALSE(contains(second.err, "fake:"));
  CHECK(second.out == first.out);
  CHECK(slurp(box.run_folder() / "records.jsonl") == records);
}

TEST_CASE("a failed trial is a record, the sweep goes on, exit code 3 and a list; the next run tries it again") {
  const Sandbox box;
  REQUIRE(box.stamp({"run", "experiment.yaml", "--only", "quantization.method=rtn"}).code == 0);
  CHECK(box.records().records.size() == 3);
  const std::string bad = box.ids()[4];
  const Ended failed = box.stamp({"run", "experiment.yaml"}, {{"FAKE_FAIL", bad}});
  CHECK(failed.code == 3);
  CHECK(contains(failed.err, "1 of 6 trials failed"));
  CHECK(contains(failed.err, bad + "  nan_metric: perplexity is nan"));
  CHECK(contains(failed.out, "failed"));
  CHECK(box.records().records.size() == 6);

  const Ended plan = box.stamp({"plan", "experiment.yaml"});
  CHECK(contains(plan.out, "5 done, 1 failed earlier"));
  CHECK(contains(plan.out, "nan_metric"));
  const Ended again = box.stamp({"run", "experiment.yaml"});
  CHECK(again.code == 0);
  CHECK(count(again.err, "fake: ") == 1);
  CHECK(box.records().lines == 7);
}

TEST_CASE("--fail-fast stops at the first failure") {
  const Sandbox box;
  REQUIRE(box.stamp({"run", "experiment.yaml", "--only", "quantization.method=rtn"}).code == 0);
  const std::string bad = box.ids()[3];
  const Ended failed = box.stamp({"run", "experiment.yaml", "--fail-fast"}, {{"FAKE_FAIL", bad}});
  CHECK(failed.code == 3);
  CHECK(box.records().records.size() == 4);
}

TEST_CASE("--threads reaches the worker and wins over STAMP_THREADS") {
  const Sandbox box;
  const Ended run = box.stamp({"run", "experiment.yaml", "--threads", "3"}, {{"STAMP_THREADS", "2"}});
  CHECK(run.code == 0);
  CHECK(contains(run.err, "threads of the fake: 3"));
  CHECK(box.stamp({"run", "experiment.yaml", "--threads", "0"}).code == 2);
}

TEST_CASE("a worker that crashes loses its trial only") {
  const Sandbox box;
  REQUIRE(box.stamp({"run", "experiment.yaml", "--only", "quantization.sequence.transform=dct"}).code == 0);
  const std::vector<std::string> ids = box.ids();
  std::set<std::string> done;
  for (const Record& r : box.records().records) done.insert(r.id);
  std::vector<std::string> left;
  for (const std::string& id : ids)
    if (!done.count(id)) left.push_back(id);
  REQUIRE(left.size() == 4);

  const Ended run =
      box.stamp({"run", "experiment.yaml"}, {{"FAKE_CRASH", left[0]}, {"FAKE_EXIT", left[1]}, {"FAKE_TORN", left[2]}});
  INFO(run.err);
  CHECK(run.code == 3);
  const ReadRecords records = box.records();
  CHECK(records.notices.empty());
  CHECK(records.lines == 6);
  REQUIRE(records.find(left[0]) != nullptr);
  CHECK(records.find(left[0])->failure->kind == "worker_crash");
  CHECK(contains(records.find(left[0])->failure->message, "signal 11"));
  CHECK(contains(records.find(left[1])->failure->message, "exit code 9"));
  CHECK(contains(records.find(left[2])->failure->message, "signal 9"));
  CHECK(records.find(left[3])->status == "done");
  CHECK(std::filesystem::exists(box.run_folder() / "records.torn"));
  CHECK(contains(run.err, "torn"));
  for (const char* before : {"1", "2", "3"})  // the numbers of the trials go on
    CHECK(contains(run.err, std::string("trials before the fake: ").append(before)));
  CHECK(records.find(left[0])->spec.contains("quantization"));

  CHECK(box.stamp({"run", "experiment.yaml"}).code == 0);
  CHECK(box.records().records.size() == 6);
}

TEST_CASE("a worker that dies before its first trial is our fault, not an endless loop") {
  const Sandbox box;
  const Ended run = box.stamp({"run", "experiment.yaml"}, {{"FAKE_END", "9"}});
  CHECK(run.code == 1);
  CHECK(contains(run.err, "before its first trial"));
  CHECK(box.records().records.empty());
}

TEST_CASE("a worker that does nothing and says it is done is our fault") {
  const Sandbox box;
  const Ended run = box.stamp({"run", "experiment.yaml"}, {{"STAMP_WORKER", "/bin/true"}});
  CHECK(run.code == 1);
  CHECK(contains(run.err, "left 6 of 6 trials without a record"));
  CHECK(box.stamp({"run", "experiment.yaml"}, {{"FAKE_END", "3"}}).code == 1);
  CHECK(box.stamp({"run", "experiment.yaml", "--fail-fast"}, {{"FAKE_END", "0"}}).code == 1);
  CHECK(box.stamp({"run", "experiment.yaml"}).code == 0);
}

TEST_CASE("exit codes 5 and 6 of the worker are passed on") {
  const Sandbox box;
  CHECK(box.stamp({"run", "experiment.yaml"}, {{"FAKE_END", "5"}}).code == 5);
  CHECK(box.stamp({"run", "experiment.yaml"}, {{"FAKE_END", "6"}}).code == 6);
}

TEST_CASE("interrupted: no half of a record, exit code 130, and the same command continues") {
  for (const int signal : {SIGINT, SIGTERM}) {
    const Sandbox box;
    const pid_t pid = box.start({"run", "experiment.yaml"}, {{"FAKE_DELAY_MS", "100"}});
    for (int i = 0; i < 200 && box.records().records.empty(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    kill(pid, signal);
    const Ended ended = box.wait(pid);
    INFO(ended.err);
    CHECK(ended.code == 130);
    CHECK(contains(ended.err, "the same command continues"));
    const std::size_t done = box.records().records.size();
    CHECK(done >= 1);
    CHECK(done < 6);
    CHECK(box.records().notices.empty());
    CHECK(box.stamp({"run", "experiment.yaml"}).code == 0);
    CHECK(box.records().records.size() == 6);
    CHECK(box.records().lines == 6);
  }
}

TEST_CASE("two runs on one folder: the second stops with exit code 5, the first is not disturbed") {
  const Sandbox box;
  const pid_t first = box.start({"run", "experiment.yaml"}, {{"FAKE_DELAY_MS", "500"}});
  for (int i = 0; i < 300 && !std::filesystem::exists(box.run_folder() / "running.json"); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const Ended second = box.stamp({"run", "experiment.yaml"});
  CHECK(second.code == 5);
  CHECK(contains(second.err, "another run"));
  CHECK(box.wait(first).code == 0);
  CHECK(box.records().lines == 6);
}

TEST_CASE("an experiment that changed: new trials are added, vanished ones are reported and kept out of the table") {
  const Sandbox box;
  REQUIRE(box.stamp({"run", "experiment.yaml"}).code == 0);
  const std::string plan = slurp(box.run_folder() / "plan.json");
  std::string text = experiment_text;
  text.replace(text.find("identity, haar, dct"), 19, "haar, dct, wht");
  text.replace(text.find("context: 64, windows"), 20, "context: 65, windows");  // the transforms see 64 rows
  box.write("experiment.yaml", text);
  const Ended changed = box.stamp({"run", "experiment.yaml"});
  INFO(changed.err);
  CHECK(changed.code == 0);
  CHECK(contains(changed.err, "6 trials added, 6 no longer in it"));
  CHECK(contains(changed.out, "6 records of an earlier version"));
  CHECK(box.records().records.size() == 12);

  box.write("experiment.yaml", experiment_text);  // back again: everything is still there
  const Ended back = box.stamp({"run", "experiment.yaml"});
  CHECK(back.code == 0);
  CHECK_FALSE(contains(back.err, "fake:"));
  CHECK(box.ids().size() == 6);
  CHECK(contains(box.stamp({"ls", "runs/tiny"}).out, "no longer in the experiment"));

  box.write("experiment.yaml", std::string("# only a comment\n") + experiment_text);
  CHECK_FALSE(contains(box.stamp({"run", "experiment.yaml"}).err, "has changed"));
}

TEST_CASE("records of another experiment in the folder keep its name in an export") {
  const Sandbox box;
  REQUIRE(box.stamp({"run", "experiment.yaml"}).code == 0);
  std::string text = experiment_text;
  text.replace(text.find("name: tiny"), 10, "name: other");
  text.replace(text.find("identity, haar, dct"), 19, "haar");
  text.replace(text.find("context: 64, windows"), 20, "context: 65, windows");
  box.write("other.yaml", text);
  const Ended plan = box.stamp({"plan", "other.yaml", "--output", "runs/tiny"});
  CHECK(plan.code == 0);
  for (const char* part : {"made by the experiment \"tiny\", now it is \"other\"", "2 trials added, 6 no longer in it"})
    CHECK(contains(plan.err, part));
  CHECK_FALSE(contains(box.stamp({"plan", "experiment.yaml"}).err, "experiment"));
  REQUIRE(box.stamp({"run", "other.yaml", "--output", "runs/tiny"}).code == 0);
  const Ended csv = box.stamp({"export", "runs/tiny"});
  CHECK(count(csv.out, "\ntiny,") == 2 * 6);
  CHECK(count(csv.out, "\nother,") == 2 * 2);
}

TEST_CASE("a smoke run has its own folder, ids and settings, one trial a method") {
  const Sandbox box;
  const Ended run = box.stamp({"run", "experiment.yaml", "--smoke"});
  INFO(run.err);
  CHECK(run.code == 0);
  const RunStore store(box.path() / "runs" / "tiny-smoke");
  const FrozenPlan plan = read_plan(store.plan_path());
  REQUIRE(plan.trials.size() == 2);
  CHECK(plan.smoke);
  for (const FrozenTrial& t : plan.trials) CHECK(t.spec["data"]["windows"] == 1);
  CHECK(contains(run.out, "smoke run"));
  CHECK_FALSE(std::filesystem::exists(box.run_folder()));
}

TEST_CASE("a model that is not there: listed, skipped, exit code 6 when nothing could run") {
  const Sandbox box;
  std::string text = experiment_text;
  text.replace(text.find("path: model"), 11, "path: nowhere");
  box.write("experiment.yaml", text);
  const Ended run = box.stamp({"run", "experiment.yaml"});
  CHECK(run.code == 6);
  CHECK(contains(run.err, "model not found"));
  CHECK(contains(run.err, "6 missing"));
  CHECK(contains(box.stamp({"plan", "experiment.yaml"}).out, "missing"));

  // Among others it is skipped and said, no more.
  text.replace(text.find("path: nowhere"), 13, "path: model");
  text.replace(text.find("  axes:"), 7, "  cells: [{model.path: gone, model.name: gone}]\n  axes:");
  box.write("experiment.yaml", text);
  const Ended some = box.stamp({"run", "experiment.yaml", "--output", "runs/some"});
  INFO(some.err);
  CHECK(some.code == 0);
  CHECK(contains(some.err, "1 missing"));
  CHECK(contains(some.out, "could not run"));
}
