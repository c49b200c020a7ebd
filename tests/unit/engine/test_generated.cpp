// Trials whose items the full-precision network makes: made once, kept between runs, and what they lead to is a pass of
// its own.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cstring>

#include "engine/runner.h"
#include "fake_model.h"
#include "models/generated_workload.h"
#include "results/record.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace stamp;

namespace {

struct Made {
  int generated = 0, restored = 0;
};

WorkItem matrix_item(const CalibrationSpec& source, std::int64_t i) {
  const auto counters = std::make_shared<test::FakeCounters>();
  WorkItem item = test::fake_model(counters)->workload(source)->item(i);
  return item;
}

// Two runs of the network an item, the second on the first one's sum of losses; what comes out is one number.
class Results : public Workload {
 public:
  explicit Results(std::vector<double> reference, bool is_reference)
      : reference_(std::move(reference)), is_reference_(is_reference) {}
  std::int64_t count() const override { return static_cast<std::int64_t>(reference_.size()); }
  WorkItem item(std::int64_t i) const override {
    WorkItem item;
    item.index = i;
    return item;
  }
  Outputs run(Network& network, const WorkItem& item) const override {
    Outputs out;
    at::Tensor value = at::empty({2}, at::kFloat);
    auto* numbers = value.mutable_data_ptr<float>();
    numbers[1] = static_cast<float>(reference_[static_cast<std::size_t>(item.index)]);
    numbers[0] = is_reference_ ? numbers[1] : sum(network, item.index);
    out.named["value"] = value;
    return out;
  }
  bool single_run() const override { return false; }
  std::int64_t tokens_per_item() const override { return 64; }
  Json description() const override { return {{"name", "results"}}; }
  std::string protocol() const override { return "results"; }
  static float sum(Network& network, std::int64_t i) {
    float total = 0;
    for (int twice = 0; twice < 2; ++twice) {
      const at::Tensor losses = network.run(matrix_item({"made", 64, 4, "random", 1}, i)).named.at("token_nll");
      for (std::int64_t t = 0; t < losses.numel(); ++t) total += losses.const_data_ptr<float>()[t];
    }
    return total;
  }

 private:
  std::vector<double> reference_;
  bool is_reference_;
};

class Steps : public GeneratedWorkload {
 public:
  Steps(std::shared_ptr<Made> made, std::int64_t count) : made_(std::move(made)), count_(count) {}
  std::int64_t count() const override { return count_; }
  WorkItem item(std::int64_t i) const override {
    if (!generated()) throw std::logic_error("not generated");
    WorkItem item = matrix_item({"made", 64, 4, "random", 1}, i);
    item.index = i;
    return item;
  }
  std::int64_t tokens_per_item() const override { return 64; }
  Json description() const override { return {{"name", "steps"}, {"digest", "steps"}, {"count", count_}}; }
  std::string protocol() const override { return "steps"; }
  void generate(Network& network, bool, const std::function<void(std::int64_t, std::int64_t)>& step) override {
    ++made_->generated;
    for (std::int64_t i = 0; i < count_; ++i) {
      step(i, count_);
      values_.push_back(static_cast<double>(Results::sum(network, i)));
    }
  }
  bool generated() const override { return !values_.empty(); }
  std::unique_ptr<Workload> results(bool reference) const override {
    return std::make_unique<Results>(values_, reference);
  }
  std::vector<std::string> warnings() const override { return {"a prompt was cut"}; }
  std::string state() const override {
    return {reinterpret_cast<const char*>(values_.data()), values_.size() * sizeof(double)};
  }
  bool restore(std::string_view bytes) override {
    if (bytes.size() != static_cast<std::size_t>(count_) * sizeof(double)) return false;
    ++made_->restored;
    values_.resize(static_cast<std::size_t>(count_));
    std::memcpy(values_.data(), bytes.data(), bytes.size());
    return true;
  }

 private:
  std::shared_ptr<Made> made_;
  std::int64_t count_;
  std::vector<double> values_;
};

class ImageModel : public Model {
 public:
  ImageModel(std::unique_ptr<Model> inner, std::shared_ptr<Made> made)
      : inner_(std::move(inner)), made_(std::move(made)) {}
  Json description() const override { return inner_->description(); }
  std::unique_ptr<Network> build(bool load) const override { return inner_->build(load); }
  std::unique_ptr<Workload> workload(const DataSpec& d) const override { return inner_->workload(d); }
  std::unique_ptr<Workload> workload(const CalibrationSpec& c) const override { return inner_->workload(c); }
  std::shared_ptr<Workload> images(const ImageSpec& i, const CalibrationSpec* c) const override {
    return std::make_shared<Steps>(made_, c ? c->samples : i.traced);
  }

 private:
  std::unique_ptr<Model> inner_;
  std::shared_ptr<Made> made_;
};

// Mean of |value - reference| over finished images, and of losses over steps.
class Gap : public Evaluator {
 public:
  void observe(const WorkItem&, const Outputs& outputs) override {
    const float* v = outputs.named.at("value").const_data_ptr<float>();
    gap_ += std::abs(static_cast<double>(v[0] - v[1]));
    ++n_;
  }
  std::vector<Metric> finish(const std::vector<SlotResult>&) override {
    Metric m;
    m.name = "gap";
    m.value = gap_;
    m.over = "images";
    m.n = n_;
    return {m};
  }

 private:
  double gap_ = 0;
  std::int64_t n_ = 0;
};

struct Run {
  std::shared_ptr<test::FakeCounters> counters = std::make_shared<test::FakeCounters>();
  std::shared_ptr<Made> made = std::make_shared<Made>();
  std::unique_ptr<Log> log = null_log();
  Progress progress;
  std::unique_ptr<Session> session;

  explicit Run(const fs::path& cache = {}) {
    SessionOptions options = test::fake_session(counters, cache);
    options.plugins.open_model = [this](const ModelSpec&) {
      return std::make_unique<ImageModel>(test::fake_model(counters), made);
    };
    PluginInfo info;
    info.name = "gap";
    info.reads = "images";
    options.plugins.metrics.push_back({info, [](const EvaluatorContext&) { return std::make_unique<Gap>(); }});
    session = std::make_unique<Session>(std::move(options));
  }
  Record operator()(const TrialSpec& t) { return run_trial(*session, {"id", Json::object(), t}, *log, progress); }
};

TrialSpec trial(std::vector<std::string> metrics) {
  TrialSpec t = test::fake_trial();
  t.evaluate = std::move(metrics);
  t.images.traced = 3;
  return t;
}

double value(const Record& r, const std::string& name) {
  const Metric* m = find_metric(r, name);
  if (!m) FAIL("no metric " << name << (r.failure ? ": " + r.failure->message : ""));
  return m->value;
}

}  // namespace

TEST_CASE("finished images pass through the network under test beside their reference, slots see the steps",
          "[generated]") {
  Run run;
  const Record r = run(trial({"gap", "slot_error"}));
  CHECK(value(r, "gap") > 0);
  CHECK(value(r, "gap_fp") == 0);
  REQUIRE(r.slots.size() == 3);
  CHECK(r.slots[0].sums.samples == 3);
  CHECK(r.slots[0].sums.tokens == 64);
  CHECK(r.data.at("protocol") == "steps");
  CHECK(run.made->generated == 1);
  CHECK(r.warnings.size() == 1);

  TrialSpec exact = trial({"gap"});
  exact.quantization.weights.bits = exact.quantization.activations.bits = exact.quantization.kv_cache.bits = 16;
  CHECK(value(run(exact), "gap") == 0);
  CHECK(run.made->generated == 1);
}

TEST_CASE("what the full-precision model made is kept between runs", "[generated]") {
  const test::Scratch folder;
  double first = 0;
  {
    Run run(folder.path());
    first = value(run(trial({"gap"})), "gap");
  }
  Run again(folder.path());
  CHECK(value(again(trial({"gap"})), "gap") == first);
  CHECK(again.made->generated == 0);
  CHECK(again.made->restored == 1);
  TrialSpec more = trial({"gap"});
  more.images.traced = 4;
  CHECK(again(more).status == "done");
  CHECK(again.made->generated == 1);
}

TEST_CASE("calibration items are made like the trial's, and only where something reads them", "[generated]") {
  Run run;
  TrialSpec t = trial({"gap"});
  t.quantization.method = "halve";
  t.calibration.samples = 2;
  const Record r = run(t);
  CHECK(value(r, "gap") > 0);
  CHECK(run.made->generated == 2);
  CHECK(r.data.at("calibration").at("count") == 2);
}

TEST_CASE("a trial of texts and images at once is refused", "[generated]") {
  Run run;
  const Record r = run(trial({"gap", "perplexity"}));
  REQUIRE(r.failure);
  CHECK(r.failure->kind == "unsupported");
}

TEST_CASE("whole images cannot be made block by block, single steps can", "[generated]") {
  Run run;
  TrialSpec t = trial({"gap"});
  t.model.streamed = true;
  const Record r = run(t);
  REQUIRE(r.failure);
  CHECK(r.failure->message.find("step by step") != std::string::npos);
}
