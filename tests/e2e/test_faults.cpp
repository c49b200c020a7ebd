// Every fault ends in one clear message and its exit code, and nothing half-written is read as whole.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>

#include "sandbox.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::test;

TEST_CASE("faults of the experiment file: exit code 2, place and nearest name, no run folder") {
  const Sandbox box;
  const auto expect = [&](const std::string& text, const std::string& message) {
    box.write("bad.yaml", text);
    for (const char* verb : {"validate", "plan", "run"}) {
      const Ended e = box.stamp({verb, "bad.yaml"});
      INFO(verb << ": " << e.err);
      CHECK(e.code == 2);
      CHECK(contains(e.err, message));
    }
    CHECK_FALSE(std::filesystem::exists(box.path() / "runs"));
  };
  const auto with = [](const std::string& from, const std::string& to) {
    std::string text = experiment_text;
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  expect(with("evaluate:", "evaluat:"), "did you mean \"evaluate\"");
  expect(with("evaluate:", "evaluat:"), "bad.yaml:");
  expect(with("high_bits: 8", "high_bits: eight"), "high_bits");
  expect(with("context: 64, windows", "context: -3, windows"), "context");
  expect(with("name: tiny\n", "name: tiny\nname: tiny\n"), "name");
  expect("a: [b\n", "bad.yaml");
  // What the table names is looked up before anything runs.
  expect(with("value: perplexity}", "value: perplexity, layout: gird}"), "did you mean \"grid\"");
  expect(with("value: perplexity}", "value: perplexity, paper: stamp_table2.lama}"), "table.paper: no entry");
  expect(with("value: perplexity}", "value: perplexity, paper: stamp_table2.lama}"), "bad.yaml");
  expect("", "bad.yaml");
  const Ended gone = box.stamp({"plan", "gone.yaml"});
  CHECK(gone.code == 2);
  CHECK(contains(gone.err, "gone.yaml"));
}

TEST_CASE("all faults of all files at once") {
  const Sandbox box;
  box.write("a.yaml", "schema: 1\nname: a\nmodell: {path: model}\ndata: {windos: 3}\n");
  box.write("b.yaml", "schema: 1\nname: b\nmodel: {path: model}\ndata: {context: many}\n");
  const Ended e = box.stamp({"validate", "a.yaml", "b.yaml", "experiment.yaml"});
  CHECK(e.code == 2);
  for (const char* part : {"modell", "windos", "b.yaml:4"}) CHECK(contains(e.err, part));
  CHECK(contains(e.out, "experiment.yaml: ok"));
}

TEST_CASE("--set and --only are read by the same schema") {
  const Sandbox box;
  const Ended set = box.stamp({"plan", "experiment.yaml", "--set", "data.window=3"});
  CHECK(set.code == 2);
  CHECK(contains(set.err, "--set"));
  CHECK(contains(set.err, "windows"));
  const Ended only = box.stamp({"plan", "experiment.yaml", "--only", "quantization.methd=rtn"});
  CHECK(only.code == 2);
  CHECK(contains(only.err, "quantization.method"));
  CHECK(box.stamp({"plan", "experiment.yaml", "--only", "quantization.method=rtm"}).code == 2);
  for (const char* verb : {"plan", "run"}) {
    const Ended none = box.stamp({verb, "experiment.yaml", "--only", "quantization.method=quarot"});
    CHECK(none.code == 2);
    CHECK(none.out.empty());
    CHECK(contains(none.err, "no trial of the plan matches; quantization.method is rtn, smoothquant"));
  }
  CHECK_FALSE(std::filesystem::exists(box.path() / "runs"));
}

TEST_CASE("a missing text is a reason, exit code 6") {
  const Sandbox box;
  std::filesystem::remove(box.path() / "text.txt");
  const Ended run = box.stamp({"run", "experiment.yaml"});
  CHECK(run.code == 6);
  CHECK(contains(run.err, "text.txt"));
}

TEST_CASE("verbs on folders that are no run folders") {
  const Sandbox box;
  for (const char* verb : {"ls", "table", "plot", "export"}) {
    const Ended e = box.stamp({verb, "model"});
    CAPTURE(verb);
    CHECK(e.code == 6);
    CHECK(contains(e.err, "is not a run folder"));
    CHECK(box.stamp({verb, "nowhere"}).code == 6);
  }
  REQUIRE(box.stamp({"run", "experiment.yaml"}).code == 0);
  const Ended trial = box.stamp({"show", "runs/tiny/zzz"});
  CHECK(trial.code == 2);
  CHECK(contains(trial.err, box.ids()[0]));
  CHECK(contains(box.stamp({"show", "runs/tiny"}).err, "as runs/tiny/TRIAL"));
  const Ended slashes = box.stamp({"show", "runs/tiny//"});
  CHECK(slashes.code == 2);
  CHECK(contains(slashes.err, "as runs/tiny/TRIAL"));
  box.write("runs/tiny/plan.json", "{\"schema\": 1, \"name\":");
  const Ended damaged = box.stamp({"ls", "runs/tiny"});
  CHECK(damaged.code == 6);
  CHECK(contains(damaged.err, "plan.json: damaged: parse error"));
}

TEST_CASE("a damaged plan does not hide the runs beside it; the way out is said and works") {
  const Sandbox box;
  REQUIRE(box.stamp({"run", "experiment.yaml"}).code == 0);
  REQUIRE(box.stamp({"run", "experiment.yaml", "--output", "runs/b"}).code == 0);
  const std::string plan = slurp(box.run_folder() / "plan.json");
  box.write("runs/tiny/plan.json", plan.substr(0, plan.size() / 2));
  const Ended ls = box.stamp({"ls", "runs"});
  CHECK(ls.code == 6);
  CHECK(contains(ls.err, "runs/tiny/plan.json: damaged"));
  CHECK(contains(ls.out, "runs/tiny  damaged"));
  CHECK(contains(ls.out, "runs/b     tiny        6       6     0"));
  const Ended page = box.stamp({"report", "runs", "--output", "page.html"});
  CHECK(page.code == 6);
  CHECK(contains(page.err, "runs/tiny/plan.json: damaged"));
  const std::string text = slurp(box.path() / "page.html");
  CHECK(contains(text, "Not on this page"));
  CHECK(contains(text, "runs/tiny/plan.json: damaged"));
  CHECK(contains(text, "<p class=\"muted\">runs/b</p>"));
  CHECK(box.stamp({"report", "runs/tiny", "--output", "none.html"}).code == 6);
  CHECK_FALSE(std::filesystem::exists(box.path() / "none.html"));

  const Ended run = box.stamp({"run", "experiment.yaml"});
  CHECK(run.code == 6);
  CHECK(contains(run.err, "Move this file away"));
  std::filesystem::rename(box.run_folder() / "plan.json", box.path() / "away.json");
  const Ended again = box.stamp({"run", "experiment.yaml"});
  CHECK(again.code == 0);
  CHECK_FALSE(contains(again.err, "fake:"));
}

TEST_CASE("an output folder that cannot be written: exit code 5 before any trial") {
  const Sandbox box;
  box.write("file", "in the way");
  const Ended file = box.stamp({"run", "experiment.yaml", "--output", "file"});
  CHECK(file.code == 5);
  CHECK_FALSE(contains(file.err, "fake:"));
  CHECK(box.stamp({"run", "experiment.yaml", "--output", "file/below"}).code == 5);
  if (geteuid() == 0) return;  // root writes into read-only folders
  std::filesystem::create_directory(box.path() / "closed");
  std::filesystem::permissions(box.path() / "closed",
                               std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  CHECK(box.stamp({"run", "experiment.yaml", "--output", "closed/run"}).code == 5);
}

TEST_CASE(
    "a disk that fills up in mid-record: exit code 5, what was written stays whole, and the run continues later") {
  const Sandbox box;
  REQUIRE(
      box.stamp({"run", "experiment.yaml", "--only", "quantization.method=rtn,quantization.sequence.transform=haar"})
          .code == 0);
  const std::uint64_t plan = std::filesystem::file_size(box.run_folder() / "plan.json");
  const std::uint64_t record = std::filesystem::file_size(box.run_folder() / "records.jsonl");
  const std::uint64_t limit = std::max(plan, 2 * record) + record / 2;
  REQUIRE(limit < 6 * record);  // else nothing would fill up
  const Ended run = box.stamp_limited({"run", "experiment.yaml"}, limit);
  INFO(run.err);
  CHECK(run.code == 5);
  CHECK(contains(run.err, "records.jsonl"));
  CHECK(box.records().notices.empty());  // the torn line was set aside, or the message says that it could not be
  const std::size_t before = box.records().records.size();
  CHECK(before >= 2);
  CHECK(before < 6);
  CHECK(box.stamp({"run", "experiment.yaml"}).code == 0);
  CHECK(box.records().records.size() == 6);
  CHECK(box.records().lines == 6);
}

TEST_CASE("records.jsonl that is no file is refused") {
  const Sandbox box;
  std::filesystem::create_directories(box.run_folder() / "records.jsonl");
  CHECK(box.stamp({"run", "experiment.yaml"}).code == 5);
}

TEST_CASE("standard output that cannot be written is an error, not silence") {
  if (!std::filesystem::exists("/dev/full")) return;
  const Sandbox box;
  REQUIRE(box.stamp({"run", "experiment.yaml"}).code == 0);
  const std::string stamp = std::string(std::getenv("STAMP_BIN_DIR")) + "/stamp";
  const std::string worker = "STAMP_WORKER=" + std::string(std::getenv("STAMP_BIN_DIR")) + "/fake-worker ";
  for (const char* arguments : {"table runs/tiny", "doctor", "--help", "run --help", "--version"}) {
    CAPTURE(arguments);
    const int status = std::system(
        fmt::format("cd {} && {}{} {} > /dev/full 2> err", box.path().string(), worker, stamp, arguments).c_str());
    CHECK(WEXITSTATUS(status) == 5);
    CHECK(contains(slurp(box.path() / "err"), "standard output could not be written"));
  }
}

TEST_CASE("a torn last line is reported, set aside by the next run, and its trial is run again") {
  const Sandbox box;
  REQUIRE(box.stamp({"run", "experiment.yaml"}).code == 0);
  const std::string whole = slurp(box.run_folder() / "records.jsonl");
  const std::size_t last = whole.rfind('\n', whole.size() - 2) + 1;
  box.write("runs/tiny/records.jsonl", whole.substr(0, last + 50));
  const Ended ls = box.stamp({"ls", "runs/tiny"});
  CHECK(ls.code == 0);
  CHECK(contains(ls.err, "torn"));
  CHECK(count(ls.out, "  done") == 5);
  const Ended run = box.stamp({"run", "experiment.yaml"});
  CHECK(run.code == 0);
  CHECK(count(run.err, "fake: ") == 1);
  CHECK(box.records().records.size() == 6);
  CHECK(box.records().notices.empty());

  box.write("runs/tiny/records.jsonl", "not json\n" + whole);
  const Ended damaged = box.stamp({"table", "runs/tiny"});
  CHECK(damaged.code == 0);
  CHECK(contains(damaged.err, "records.jsonl:1:"));
  CHECK_FALSE(contains(damaged.err, "json.exception"));
}

TEST_CASE("a table does not mix protocols: exit code 2 with both named") {
  const Sandbox box;
  REQUIRE(box.stamp({"run", "experiment.yaml"}).code == 0);
  std::string records = slurp(box.run_folder() / "records.jsonl");
  records.replace(records.find("fake protocol"), 13, "other windows");
  box.write("runs/tiny/records.jsonl", records);
  const Ended e = box.stamp({"table", "runs/tiny"});
  CHECK(e.code == 2);
  CHECK(contains(e.err, "other windows"));
  CHECK(contains(e.err, "fake protocol"));
}

TEST_CASE("a run whose table is refused at the end: the records stand, exit code 2") {
  const Sandbox box;
  std::string text = experiment_text;
  text.replace(text.find("value: perplexity"), 17, "value: perplexty");
  box.write("experiment.yaml", text);
  const Ended run = box.stamp({"run", "experiment.yaml"});
  CHECK(run.code == 2);
  CHECK(contains(run.err, "no table: table.value: no record has the metric \"perplexty\""));
  CHECK(box.records().records.size() == 6);
  text.replace(text.find("value: perplexty"), 16, "value: perplexity");
  box.write("experiment.yaml", text);
  const Ended again = box.stamp({"run", "experiment.yaml"});
  CHECK(again.code == 0);
  CHECK_FALSE(contains(again.err, "fake:"));
}

TEST_CASE("light verbs start in well under a tenth of a second") {
  const Sandbox box;
  REQUIRE(box.stamp({"run", "experiment.yaml"}).code == 0);
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"--help"},
                                                    {"validate", "experiment.yaml"},
                                                    {"plan", "experiment.yaml"},
                                                    {"table", "runs/tiny"}}) {
    // Processor time of the child: a busy machine does not count against us.
    rusage before{}, after{};
    getrusage(RUSAGE_CHILDREN, &before);
    REQUIRE(box.stamp(arguments).code == 0);
    getrusage(RUSAGE_CHILDREN, &after);
    const auto seconds = [](const rusage& r) {
      return static_cast<double>(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
             1e-6 * static_cast<double>(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
    };
    CHECK(seconds(after) - seconds(before) < 0.1);
  }
}
