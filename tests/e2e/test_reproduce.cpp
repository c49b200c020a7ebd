// `stamp reproduce`: the steps of one shipped experiment in a row, and the list of them.
#include <csignal>
#include <cstdlib>
#include <thread>

#include "sandbox.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::test;

namespace {

std::string with(std::string text, const std::string& part, const std::string& instead) {
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += instead.size())
    text.replace(at, part.size(), instead);
  return text;
}

// The sandbox's experiment as a shipped one, beside a piece and one whose model waits for a variable; the script that
// draws only says that it was called.
struct Shipped : Sandbox {
  std::map<std::string, std::string> around{{"STAMP_EXPERIMENTS", (path() / "experiments").string()},
                                            {"STAMP_RESULTS", (path() / "results").string()},
                                            {"STAMP_SCRIPTS", (path() / "scripts").string()}};
  Shipped() {
    const std::string sweep =
        with(with(experiment_text, "path: model", "path: ../../model"), "text.txt", "../../text.txt");
    write("experiments/tiny/sweep.yaml", sweep);
    write("experiments/tiny/large.yaml",
          with(with(sweep, "path: ../../model, name: tiny-llama", "path: \"${STAMP_NOWHERE_9}\", name: large-llama"),
               "name: tiny", "name: tiny_large"));
    write("experiments/tiny/grid.yaml",
          "schema: 1\nsweep: {axes: {quantization.sequence.transform: [identity, haar]}}\n");
    write("scripts/plot.py",
          "import sys\nopen('called.txt', 'a').write('drawn ')\n"
          "open(sys.argv[1] + '/bound.svg', 'w').write('<svg xmlns=\"http://www.w3.org/2000/svg\"/>')\n");
    expect(10);
  }
  // Of the fake worker's full-precision value, which is 10.
  void expect(double value) const {
    write("experiments/tiny/expected.yaml",
          "schema: 1\nexpectations:\n  - {id: full_precision, when: {quantization.method: rtn}, metric: perplexity_fp, "
          "value: " +
              std::to_string(value) + ", tolerance: {relative: 0.001}, source: the fake worker}\n");
  }
  Ended reproduce(const std::vector<std::string>& arguments,
                  const std::map<std::string, std::string>& more = {}) const {
    std::vector<std::string> all{"reproduce"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    std::map<std::string, std::string> environment = around;
    environment.insert(more.begin(), more.end());
    return stamp(all, environment);
  }
  // Packs the run as scripts/publish.py does, with these lines as its records.
  void commit(const std::string& records) const {
    write("results/tiny/plan.json", slurp(run_folder() / "plan.json"));
    write("results/tiny/records.jsonl", records);
    const std::string folder = (path() / "results/tiny").string();
    REQUIRE(std::system(("gzip -f " + folder + "/plan.json " + folder + "/records.jsonl").c_str()) == 0);
  }
};

}  // namespace

TEST_CASE("reproduce runs, draws, makes the page and checks; the same command then only looks") {
  const Shipped box;
  const Ended first = box.reproduce({"tiny"});
  INFO(first.out + first.err);
  CHECK(first.code == 0);
  CHECK(contains(first.out, "| rtn"));
  CHECK(contains(first.out, "1 hold, 0 miss, 0 untested"));
  CHECK(contains(first.err, "6 trials: 6 new"));
  CHECK(contains(first.err, "no committed result"));
  CHECK(slurp(box.path() / "called.txt") == "drawn ");
  CHECK(contains(slurp(box.run_folder() / "report.html"), "image/svg+xml"));  // the page takes in what was drawn

  const Ended second = box.reproduce({"tiny", "--no-plots"});
  CHECK(second.code == 0);
  CHECK_FALSE(contains(second.err, "fake:"));
  CHECK(slurp(box.path() / "called.txt") == "drawn ");
}

TEST_CASE("a missed expectation ends with 4, a failed trial with 3, and both still get their page") {
  const Shipped box;
  box.expect(11);
  const Ended misses = box.reproduce({"tiny"});
  CHECK(misses.code == 4);
  CHECK(contains(misses.out, "MISSES"));
  CHECK(std::filesystem::exists(box.run_folder() / "report.html"));

  const std::string bad = box.ids().front();
  const Ended failed = box.reproduce({"tiny", "--output", "runs/again"}, {{"FAKE_FAIL", bad}});
  CHECK(failed.code == 3);
  CHECK(contains(failed.err, "1 of 6 trials failed"));
  CHECK(std::filesystem::exists(box.path() / "runs" / "again" / "report.html"));
}

TEST_CASE("faults in the expectations are told before anything runs") {
  const Shipped box;
  box.write("experiments/tiny/expected.yaml", "schema: 1\nexpectations: [{id: a}]\n");
  const Ended ended = box.reproduce({"tiny"});
  CHECK(ended.code == 2);
  CHECK(contains(ended.err, "expected.yaml:"));
  CHECK_FALSE(std::filesystem::exists(box.run_folder()));
}

TEST_CASE("a script that cannot draw costs the figures only, and is the exit code when all else is well") {
  const Shipped box;
  box.write("scripts/plot.py", "import sys\nsys.exit(1)\n");
  const Ended ended = box.reproduce({"tiny"});
  CHECK(ended.code == 1);
  CHECK(contains(ended.out, "1 hold"));
  CHECK(std::filesystem::exists(box.run_folder() / "report.html"));
}

TEST_CASE("what moved since the result was committed, largest first") {
  const Shipped box;
  REQUIRE(box.reproduce({"tiny", "--no-plots"}).code == 0);
  box.commit(slurp(box.run_folder() / "records.jsonl"));
  const Ended same = box.reproduce({"tiny", "--no-plots"});
  INFO(same.out + same.err);
  CHECK(same.code == 0);
  CHECK(contains(same.out, "Against results/tiny: unchanged: perplexity of 6 trials"));

  // Committed twice and a quarter above what it is now, and one trial that was not committed.
  std::string records;
  std::size_t number = 0;
  for (const Record& r : box.records().records) {
    Record changed = r;
    if (number == 1) changed.metrics[0].value *= 1.25;
    if (number == 2) changed.metrics[0].value *= 2;
    if (number++ != 5) records += to_json(changed).dump() + "\n";
  }
  box.commit(records);
  const Ended moved = box.reproduce({"tiny", "--no-plots"});
  INFO(moved.out);
  CHECK(moved.code == 0);  // a change is shown; whether it matters is what expectations say
  CHECK(contains(moved.out, "2 of 5 trials moved, perplexity by at most -50.0%"));
  CHECK(moved.out.find("-50.0%\n") < moved.out.find("-20.0%\n"));
  CHECK(moved.out.find("-20.0%\n") < moved.out.find("equal\n"));
  CHECK(contains(moved.out, "Only in this run:\n  " + box.records().records[5].id));
  CHECK(contains(box.stamp({"compare", "results/tiny", "runs/tiny", "--brief"}).out, "1 trial only now"));
}

TEST_CASE("a committed result is read like the run folder it came from, and not drawn over") {
  const Shipped box;
  REQUIRE(box.reproduce({"tiny", "--no-plots"}).code == 0);
  box.commit(slurp(box.run_folder() / "records.jsonl"));
  for (const std::vector<std::string>& verb : std::vector<std::vector<std::string>>{
           {"table"}, {"export", "--format", "csv"}, {"check", "--against", "experiments/tiny/expected.yaml"}}) {
    std::vector<std::string> run = verb, committed = verb;
    run.insert(run.begin() + 1, "runs/tiny");
    committed.insert(committed.begin() + 1, "results/tiny");
    const Ended a = box.stamp(run), b = box.stamp(committed);
    INFO(verb[0] << "\n" << b.out << b.err);
    CHECK(b.code == 0);
    CHECK(b.out == a.out);
  }
  const std::string id = box.records().records[0].id;
  CHECK(box.stamp({"show", "results/tiny/" + id}).out == box.stamp({"show", "runs/tiny/" + id}).out);
  CHECK(contains(box.stamp({"ls", "results"}).out, "results/tiny"));
  CHECK(box.stamp({"report", "results/tiny", "--output", "page.html"}).code == 0);
  const Ended drawn = box.stamp({"plot", "results/tiny"});
  CHECK(drawn.code == 2);
  CHECK(contains(drawn.err, "a committed result is not drawn again"));
}

TEST_CASE("a committed result that is damaged is named") {
  const Shipped box;
  REQUIRE(box.reproduce({"tiny", "--no-plots"}).code == 0);
  box.commit(slurp(box.run_folder() / "records.jsonl"));
  const std::string bytes = slurp(box.path() / "results/tiny/records.jsonl.gz");
  box.write("results/tiny/records.jsonl.gz", bytes.substr(0, bytes.size() / 2));
  const Ended ended = box.reproduce({"tiny", "--no-plots"});
  CHECK(ended.code == 6);
  CHECK(contains(ended.err, "records.jsonl.gz: the packed file is cut short"));
  CHECK(box.stamp({"compare", "results/tiny", "runs/tiny"}).code == 6);
}

TEST_CASE("reproduce that was interrupted goes on where it stopped") {
  const Shipped box;
  std::map<std::string, std::string> slow = box.around;
  slow["FAKE_DELAY_MS"] = "100";
  const pid_t pid = box.start({"reproduce", "tiny", "--no-plots"}, slow);
  for (int i = 0; i < 200 && box.records().records.empty(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  kill(pid, SIGINT);
  CHECK(box.wait(pid).code == 130);
  CHECK_FALSE(std::filesystem::exists(box.run_folder() / "report.html"));
  const Ended again = box.reproduce({"tiny", "--no-plots"});
  CHECK(again.code == 0);
  CHECK(box.records().lines == 6);
}

TEST_CASE("a smoke run is drawn and has its page, and is held against nothing") {
  const Shipped box;
  box.expect(11);
  const Ended smoke = box.reproduce({"tiny", "--smoke", "--threads", "2"});
  INFO(smoke.err);
  CHECK(smoke.code == 0);
  CHECK(contains(smoke.err, "threads of the fake: 2"));
  CHECK(contains(smoke.err, "neither checked nor compared"));
  CHECK(std::filesystem::exists(box.path() / "runs" / "tiny-smoke" / "report.html"));
}

TEST_CASE("without a name: what there is, what it needs, how far it is, what is committed") {
  const Shipped box;
  const Ended fresh = box.reproduce({});
  INFO(fresh.out + fresh.err);
  CHECK(fresh.code == 0);
  CHECK(contains(fresh.out, "tiny-llama"));
  CHECK(contains(fresh.out, "never run"));
  CHECK(contains(fresh.out, "large-llama (set STAMP_NOWHERE_9)"));
  CHECK(count(fresh.out, "\n") == 3);  // a head and two experiments: the piece is none
  CHECK_FALSE(std::filesystem::exists(box.run_folder()));

  REQUIRE(box.reproduce({"tiny", "--no-plots"}).code == 0);
  box.commit(slurp(box.run_folder() / "records.jsonl"));
  const Ended done = box.reproduce({});
  CHECK(contains(done.out, "6 of 6 done"));
  CHECK(contains(done.out, "6 trials, "));
}

TEST_CASE("names and options that cannot be meant") {
  const Shipped box;
  const Ended typo = box.reproduce({"tinny"});
  CHECK(typo.code == 2);
  CHECK(contains(typo.err, "did you mean \"tiny\""));
  CHECK(contains(typo.err, "tiny_large"));
  CHECK(typo.out.empty());
  CHECK(box.reproduce({"--smoke"}).code == 2);
  const Ended waiting = box.reproduce({"tiny_large"});
  CHECK(waiting.code == 6);
  CHECK(contains(waiting.err, "model not found"));
  CHECK(box.stamp({"reproduce"}, {{"STAMP_EXPERIMENTS", "nowhere"}}).code == 6);
}
