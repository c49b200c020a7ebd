// Trials of several workloads: which evaluator sees which items, bits counted where sequences have lengths of their
// own, references and records of trials without text windows.
#include "engine/passes.h"

#include <ATen/core/Tensor.h>

#include "engine/runner.h"
#include "fake_model.h"
#include "results/record.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace stamp;

namespace {

// Mean loss of every task, with the bits of its pass.
class TaskLosses : public Evaluator {
 public:
  void begin(const Workload& workload) override {
    results_.emplace_back();
    results_.back().name = workload.description().at("name").get<std::string>() + "_loss";
    results_.back().over = "items";
  }
  void observe(const WorkItem&, const Outputs& outputs) override {
    const at::Tensor losses = outputs.named.at("token_nll").contiguous();
    for (std::int64_t i = 0; i < losses.numel(); ++i)
      results_.back().value += static_cast<double>(losses.const_data_ptr<float>()[i]);
    ++results_.back().n;
  }
  void end(const PassBits& bits) override {
    results_.back().activation_bits = bits.activations;
    results_.back().kv_bits = bits.caches;
  }
  std::vector<Metric> finish(const std::vector<SlotResult>&) override { return results_; }

 private:
  std::vector<Metric> results_;
};

struct Run {
  std::shared_ptr<test::FakeCounters> counters = std::make_shared<test::FakeCounters>();
  std::unique_ptr<Log> log = null_log();
  Progress progress;
  std::unique_ptr<Session> session;

  explicit Run(const fs::path& cache = {}) {
    SessionOptions options = test::fake_session(counters, cache);
    PluginInfo info;
    info.name = "task_losses";
    info.reads = "zero_shot";
    options.plugins.metrics.push_back({info, [](const EvaluatorContext&) { return std::make_unique<TaskLosses>(); }});
    session = std::make_unique<Session>(std::move(options));
  }
  Record operator()(const TrialSpec& t) { return run_trial(*session, {"id", Json::object(), t}, *log, progress); }
};

// Tasks of 12 and of 21 tokens, three items each; a fourth of the rows at 8 bits.
TrialSpec trial(std::vector<std::string> metrics) {
  TrialSpec t = test::fake_trial();
  t.evaluate = std::move(metrics);
  t.zero_shot.tasks = {"twelve_token", "twenty_one_token_task"};
  t.zero_shot.items = 3;
  t.quantization.sequence.options = {{"levels", nullptr}};
  t.quantization.allocation.options["high_tokens"] = "s/4";
  return t;
}

const Metric& metric(const Record& r, const std::string& name) {
  const Metric* m = find_metric(r, name);
  if (!m) FAIL("no metric " << name << (r.failure ? ": " + r.failure->message : ""));
  return *m;
}

}  // namespace

TEST_CASE("a trial of questions alone reads no text windows", "[passes]") {
  Run run;
  const Record r = run(trial({"task_losses"}));
  REQUIRE(metric(r, "twelve_token_loss").n == 3);
  CHECK(r.metrics.size() == 4);  // two tasks, two references
  CHECK(run.session->data() == nullptr);
  CHECK(run.counters->runs == 12);
  CHECK_FALSE(r.data.contains("digest"));
  CHECK(r.data.at("zero_shot").at("twelve_token").at("digest") == "digest of twelve_token");
  CHECK_FALSE(r.data.at("zero_shot").at("twelve_token").contains("path"));
  CHECK(r.slots.empty());
}

TEST_CASE("bits are counted from the rows of each task", "[passes]") {
  Run run;
  const Record r = run(trial({"task_losses"}));
  // round(12 / 4) and round(21 / 4) rows at 8 bits, the others at 4.
  CHECK(*metric(r, "twelve_token_loss").activation_bits == Approx(4 + 4 * 3.0 / 12));
  CHECK(*metric(r, "twelve_token_loss").kv_bits == Approx(4 + 4 * 3.0 / 12));
  CHECK(*metric(r, "twenty_one_token_task_loss").activation_bits == Approx(4 + 4 * 5.0 / 21));
  CHECK(r.averages.at("activation_bits").get<double>() == Approx(4 + 2 * (3.0 / 12 + 5.0 / 21)));
  CHECK_FALSE(metric(r, "twelve_token_loss_fp").activation_bits);

  TrialSpec plain = trial({"task_losses"});
  plain.quantization.activations.bits = 16;
  const Record half = run(plain);
  CHECK_FALSE(metric(half, "twelve_token_loss").activation_bits);
  CHECK(half.averages.at("activation_bits") == 16);
  CHECK(metric(half, "twelve_token_loss").kv_bits);
}

TEST_CASE("windows and questions share a trial, and neither changes the other", "[passes]") {
  Run run;
  const Record both = run(trial({"perplexity", "slot_error", "task_losses"}));
  const Record questions = run(trial({"task_losses"})), windows = run(trial({"perplexity", "slot_error"}));
  CHECK(metric(both, "twelve_token_loss").value == metric(questions, "twelve_token_loss").value);
  CHECK(metric(both, "twelve_token_loss_fp").value == metric(questions, "twelve_token_loss_fp").value);
  CHECK(metric(both, "perplexity").value == metric(windows, "perplexity").value);
  // Slots are those of the windows: 64 tokens, two items.
  REQUIRE(both.slots.size() == 3);
  CHECK(both.slots[0].sums.samples == 2);
  CHECK(both.slots[0].sums.error == windows.slots[0].sums.error);
  CHECK(both.averages.at("activation_bits") == windows.averages.at("activation_bits"));
}

TEST_CASE("references of questions are kept between runs, by items and settings", "[passes]") {
  const test::Scratch folder;
  const auto references = [&](const TrialSpec& t) {
    Run run(folder.path());
    REQUIRE(run(t).status == "done");
    return run.session->counters().references;
  };
  const TrialSpec t = trial({"task_losses"});
  CHECK(references(t) == 1);
  CHECK(references(t) == 0);
  TrialSpec other = t;
  other.quantization.method = "halve";
  CHECK(references(other) == 0);
  other.zero_shot.rule = "prefill";  // full precision does not depend on it
  CHECK(references(other) == 0);
  other.zero_shot.items = 2;
  CHECK(references(other) == 1);
  other.zero_shot.tasks.pop_back();
  CHECK(references(other) == 1);
}

TEST_CASE("a model that answers no questions fails the trial with the task's name", "[passes]") {
  struct Mute : Model {
    Json description() const override { return Json::object(); }
    std::unique_ptr<Network> build(bool) const override { return nullptr; }
    std::unique_ptr<Workload> workload(const DataSpec&) const override { return nullptr; }
    std::unique_ptr<Workload> workload(const CalibrationSpec&) const override { return nullptr; }
  };
  CHECK_THROWS_WITH(Mute().questions({}, "piqa"), Catch::Contains("zero-shot task (piqa)"));
}
