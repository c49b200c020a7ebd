#include "engine/worker.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/error.h"
#include "cli/catalog.h"
#include "engine/interrupt.h"
#include "engine/progress.h"
#include "fake_model.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace stamp;

namespace {

struct Folder {
  test::Scratch scratch;
  Catalog catalog = make_catalog();
  Schema schema{catalog};
  RunStore store{scratch.path() / "run"};
  FrozenPlan plan;
  std::shared_ptr<test::FakeCounters> counters = std::make_shared<test::FakeCounters>();
  Session session{test::fake_session(counters, {})};

  Folder() { store.make_folders(); }
  std::string add(TrialSpec spec) {
    FrozenTrial t;
    t.spec = canonical(spec, schema);
    t.id = trial_id(spec, schema);
    const Json full = with_paths(spec, schema);
    t.paths = full.contains("paths") ? full["paths"] : Json::object();
    t.labels = {Json{{"quantization.sequence.transform", spec.quantization.sequence.transform}}};
    plan.trials.push_back(t);
    return t.id;
  }
  ExitCode run(const std::vector<std::string>& ids, bool fail_fast = false) {
    WorkerOptions options;
    options.folder = store.folder();
    options.ids = ids;
    options.fail_fast = fail_fast;
    return run_trials(options, plan, schema, session);
  }
};

TrialSpec with_transform(const std::string& name, const std::string& model = "fake") {
  TrialSpec t = test::fake_trial();
  t.model.path = model;
  t.quantization.sequence.transform = name;
  t.quantization.sequence.options = Json::object();
  return t;
}

}  // namespace

TEST_CASE("a worker leaves one record a trial, a log each, and no running mark") {
  Folder f;
  const std::string a = f.add(with_transform("identity")), b = f.add(with_transform("dct"));
  CHECK(f.run({b, a}) == ExitCode::done);
  const ReadRecords read = f.store.read();
  REQUIRE(read.records.size() == 2);
  CHECK(read.records[0].id == b);
  CHECK(read.records[1].id == a);
  CHECK(read.records[0].status == "done");
  CHECK(read.records[0].spec == f.plan.find(b)->spec);
  CHECK(test::slurp(f.store.log_path(a)).find("perplexity = ") != std::string::npos);
  CHECK_FALSE(fs::exists(f.store.running_path()));
}

TEST_CASE("failed trials are recorded and counted") {
  Folder f;
  const std::string bad = f.add(with_transform("identity", "absent")), good = f.add(with_transform("dct"));
  CHECK(f.run({bad, good}) == ExitCode::missing);  // all that failed was a missing model
  CHECK(f.store.read().records.size() == 2);
  CHECK(f.store.read().find(bad)->failure->kind == "missing");
  CHECK(f.store.read().find(good)->status == "done");
}

TEST_CASE("fail-fast stops after the first failure") {
  Folder f;
  TrialSpec short_calibration = with_transform("klt");
  short_calibration.calibration.context = 32;
  const std::string bad = f.add(short_calibration), good = f.add(with_transform("dct"));
  CHECK(f.run({bad, good}, true) == ExitCode::trials_failed);
  CHECK(f.store.read().records.size() == 1);
}

TEST_CASE("an unknown id and a folder that cannot be written are errors") {
  Folder f;
  const std::string a = f.add(with_transform("identity"));
  CHECK_THROWS_AS(f.run({"000000000000"}), DataError);
  fs::remove_all(f.store.folder() / "logs");
  test::spill(f.store.folder() / "logs", "in the way");
  CHECK_THROWS_AS(f.run({a}), StoreError);
}

TEST_CASE("a trial is called by its place in the sweep") {
  FrozenTrial t;
  t.id = "0123";
  CHECK(label_of(t) == "0123");
  t.labels = {Json{{"quantization.method", "quarot"}, {"quantization.weights.bits", 16}}, Json{{"other", 1}}};
  CHECK(label_of(t) == "quarot, weights.bits 16");
}

TEST_CASE("an exception that nothing can catch leaves its reason in the log of the trial") {
  const test::Scratch scratch;
  const std::string path = (scratch.path() / "trial.log").string();
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    std::signal(SIGABRT, SIG_DFL);
    const int quiet = open("/dev/null", O_WRONLY);
    dup2(quiet, STDERR_FILENO);
    const auto log = file_log(path);
    const LastWords words(*log);
    const auto lacks = [] { throw DataError("tensor x holds I32 values"); };
    [&]() noexcept { lacks(); }();
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGABRT);
  CHECK(test::slurp(path).find("nothing could catch: tensor x holds I32 values") != std::string::npos);
}

TEST_CASE("a trial's outcome is what the table shows of it") {
  Record record;
  record.metrics.resize(3);
  record.metrics[0].name = "slot_sqnr";
  record.metrics[0].value = 8.5;
  record.metrics[1].name = "latent_sqnr";
  record.metrics[1].value = 12.25;
  record.metrics[1].unit = "dB";
  record.metrics[2].name = "latent_sqnr_fp";
  record.metrics[2].value = 99;
  CHECK(outcome_of(record, "latent_sqnr") == "latent_sqnr 12.25 dB (full precision 99)");
  CHECK(outcome_of(record, "perplexity") == "slot_sqnr 8.5");
}

TEST_CASE("a worker that goes on for another one counts on") {
  const test::Scratch scratch;
  const std::string path = (scratch.path() / "out").string();
  std::FILE* out = std::fopen(path.c_str(), "w");
  {
    SweepProgress progress(out, false, 6, 2);
    progress.begin("rtn, dct");
    progress.end("perplexity 60");
  }
  std::fclose(out);
  CHECK(test::slurp(path).find("[3/6] rtn, dct: perplexity 60 (") == 0);
}

TEST_CASE("ids are read one a line") {
  const test::Scratch scratch;
  test::spill(scratch.path() / "ids", "abc\n\n  def \n");
  CHECK(read_ids(scratch.path() / "ids") == std::vector<std::string>{"abc", "def"});
  CHECK_THROWS_AS(read_ids(scratch.path() / "none"), DataError);
}

TEST_CASE("progress: plain lines say what came of a trial and how long the rest takes") {
  const test::Scratch scratch;
  const std::string path = (scratch.path() / "out").string();
  std::FILE* out = std::fopen(path.c_str(), "w");
  {
    SweepProgress progress(out, false, 2);
    CHECK(progress.remaining_s() < 0);
    progress.begin("rtn, haar");
    progress.at("run", 0, 4);
    progress.end("perplexity 69.45");
    progress.begin("rtn, dct");
    CHECK(progress.remaining_s() >= 0);
    progress.end("perplexity 60");
  }
  std::fclose(out);
  const std::string text = test::slurp(path);
  CHECK(text.find("[1/2] rtn, haar: perplexity 69.45 (") == 0);
  CHECK(text.find("left") != std::string::npos);
  CHECK(text.find("[2/2] rtn, dct: perplexity 60 (") != std::string::npos);
  CHECK(text.find('\r') == std::string::npos);
  CHECK(text.find("run") == std::string::npos);
}

TEST_CASE("progress: a terminal's line is rewritten and fits 79 columns") {
  const test::Scratch scratch;
  const std::string path = (scratch.path() / "out").string();
  std::FILE* out = std::fopen(path.c_str(), "w");
  SweepProgress progress(out, true, 1);
  progress.begin(std::string(200, 'x'));
  progress.at("run", 0, 4);
  std::fclose(out);
  const std::string text = test::slurp(path);
  CHECK(text.find('\n') == std::string::npos);
  CHECK(text.size() <= 2 * (79 + 4));
}
