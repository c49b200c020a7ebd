#include "engine/runner.h"

#include <cmath>

#include "base/parallel.h"
#include "fake_model.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace stamp;

namespace {

struct Run {
  std::shared_ptr<test::FakeCounters> counters = std::make_shared<test::FakeCounters>();
  std::unique_ptr<Log> log = null_log();
  Progress progress;
  Session session;

  explicit Run(const fs::path& cache = {}, const test::FakeOptions& options = {})
      : session(test::fake_session(counters, cache, options)) {}
  Record operator()(const TrialSpec& t) { return run_trial(session, {"id", Json::object(), t}, *log, progress); }
};

TrialSpec with_transform(const std::string& name) {
  TrialSpec t = test::fake_trial();
  t.quantization.sequence.transform = name;
  t.quantization.sequence.options = name == "haar" ? test::haar_options(3) : Json::object();
  return t;
}

TrialSpec with_budget(const std::string& kind) {
  TrialSpec t = test::fake_trial();
  t.quantization.allocation = {kind,
                               {{"average_bits", 4.5},
                                {"min_bits", kind == "integer" ? Json(1) : Json(1.0)},
                                {"max_bits", kind == "integer" ? Json(8) : Json(8.0)}}};
  return t;
}

TrialSpec with_joint(const std::string& kind) {
  TrialSpec t = test::fake_trial();
  t.quantization.allocation = {kind, complete_options(allocator(kind).info, {{"average_bits", 4.5}}, "allocation")};
  return t;
}

// What must not depend on whether shared work was done now or earlier.
Json comparable(Record r) {
  r.timing_s.clear();
  r.finished.clear();
  r.peak_memory_bytes = 0;
  return to_json(r);
}

double value(const Record& r, const std::string& name) {
  const Metric* m = find_metric(r, name);
  if (!m) FAIL("no metric " << name);
  return m->value;
}

}  // namespace

TEST_CASE("a trial's record says everything") {
  Run run;
  const Record r = run(test::fake_trial());
  INFO((r.failure ? r.failure->message : ""));
  REQUIRE(r.status == "done");
  CHECK_FALSE(r.failure);
  CHECK(value(r, "perplexity") > 1);
  CHECK(value(r, "perplexity") != value(r, "perplexity_fp"));
  CHECK(std::exp(value(r, "nll")) == Approx(value(r, "perplexity")).epsilon(1e-12));
  CHECK(find_metric(r, "perplexity")->items.size() == 2);
  CHECK(find_metric(r, "perplexity")->protocol == "evaluation 64");
  CHECK(value(r, "slot_sqnr") > 0);
  REQUIRE(r.slots.size() == 3);
  CHECK(r.slots[2].kind == "key cache");
  CHECK(r.slots[0].sums.samples == 2);
  CHECK(r.slots[0].sums.tokens == 64);
  CHECK(r.slots[0].high_tokens == 8);
  CHECK(r.averages["activation_bits"] == 4.5);
  CHECK(r.averages["kv_bits"] == 4.5);
  CHECK(r.averages["weight_bits"] == 4.0);
  CHECK(r.bound["worst_slot"].is_string());
  double error = 0;
  for (const SlotResult& s : r.slots) error += s.sums.error;
  CHECK(r.bound["error"].get<double>() == error);
  CHECK(r.model["digest"] == "fake");
  CHECK(r.data["protocol"] == "evaluation 64");
  CHECK(r.libraries.contains("libtorch"));
  CHECK(r.hardware.contains("cores"));
  CHECK(r.threads == 1);
  for (const char* phase : {"load", "reference", "prepare", "run", "evaluate"}) CHECK(r.timing_s.count(phase) == 1);
  CHECK(r.timing_s.count("calibrate") == 0);
  CHECK(r.peak_memory_bytes > 1 << 20);
  CHECK(record_from_json(Json::parse(to_json(r).dump())).metrics.size() == r.metrics.size());
  CHECK(to_json(r).dump().find("/somewhere") == std::string::npos);  // records travel; paths of this machine do not
}

TEST_CASE("without any quantizer a trial equals its reference") {
  Run run;
  TrialSpec t = test::fake_trial();
  t.quantization.weights.bits = t.quantization.activations.bits = t.quantization.kv_cache.bits = 16;
  const Record r = run(t);
  REQUIRE(r.status == "done");
  CHECK(value(r, "perplexity") == value(r, "perplexity_fp"));
  CHECK(r.slots.empty());
  CHECK(find_metric(r, "slot_sqnr") == nullptr);
  CHECK(r.averages["activation_bits"] == 16.0);
  CHECK(r.averages["weight_bits"] == 16.0);
}

TEST_CASE("slot sums equal the slow twin on the activations that the slots saw") {
  Run run;
  const TrialSpec t = test::fake_trial();
  Monitor monitor(*run.log, run.progress);
  run.session.open(t, monitor);
  Network& network = run.session.prepared(t, monitor);
  const auto plans = run.session.slots(t, monitor);
  REQUIRE(plans.size() == 3);
  std::vector<SlotStatistics> slow(plans.size());
  const InstalledQuantizers installed(plans, true);
  for (std::size_t i = 0; i < plans.size(); ++i)
    plans[i].slot->set_observer([&, i](const SlotInfo&, ConstMatrixView x) {
      std::vector<float> out(static_cast<std::size_t>(x.rows * x.cols));
      quantize_sequence_reference(x, *plans[i].transform, plans[i].bits, plans[i].grid,
                                  {out.data(), x.rows, x.cols, x.cols}, &slow[i]);
    });
  run_pass(network, {run.session.data(), {}, true, false}, monitor);
  for (std::size_t i = 0; i < plans.size(); ++i) {
    plans[i].slot->set_observer(nullptr);
    const SlotStatistics& fast = installed.statistics()[i];
    INFO(plans[i].slot->info().name);
    CHECK(fast.samples == 2);
    CHECK(fast.signal == Approx(slow[i].signal).epsilon(1e-5));
    // A value on the edge between two levels may fall to either side in float32: few in a thousand, one step each.
    CHECK(fast.error == Approx(slow[i].error).epsilon(5e-3));
    CHECK(fast.b1 == Approx(slow[i].b1).epsilon(1e-5));
    CHECK(fast.b2 == Approx(slow[i].b2).epsilon(1e-5));
    CHECK(fast.b4 == Approx(slow[i].b4).epsilon(1e-5));
    CHECK(fast.b5 == Approx(slow[i].b5).epsilon(1e-4));
    CHECK(fast.average_bits() == Approx(4.5));
    CHECK(fast.error < fast.b2);
    CHECK(fast.b2 <= fast.b1);
  }
}

TEST_CASE("calibrated means are those of the items behind the skipped token, and no trial keeps another's shift") {
  Run run;
  TrialSpec t = test::fake_trial();
  t.quantization.activations.shift = "calibrated";
  Monitor monitor(*run.log, run.progress);
  run.session.open(t, monitor);
  Network& network = run.session.prepared(t, monitor);
  std::vector<double> mean(test::fake_width, 0.0);
  const Workload& items = *run.session.calibration();
  for (std::int64_t i = 0; i < items.count(); ++i) {
    const at::Tensor x = items.item(i).inputs.at("x");  // what the first site reads
    for (std::int64_t row = 1; row < 64; ++row)
      for (std::size_t j = 0; j < mean.size(); ++j)
        mean[j] +=
            static_cast<double>(x.const_data_ptr<float>()[row * test::fake_width + static_cast<std::int64_t>(j)]) /
            static_cast<double>(63 * items.count());
  }
  const auto plans = run.session.slots(t, monitor);
  std::vector<float> first_row, plain_row;
  const auto look = [&](std::vector<float>& into) {
    network.linear_sites()[0]->set_observer(
        [&into](const SlotInfo&, ConstMatrixView x) { into.assign(x.row(5), x.row(5) + x.cols); });
    network.run(run.session.data()->item(0));
    network.linear_sites()[0]->set_observer(nullptr);
  };
  look(first_row);
  run.session.open(test::fake_trial(), monitor);
  run.session.prepared(test::fake_trial(), monitor);
  run.session.slots(test::fake_trial(), monitor);
  look(plain_row);
  REQUIRE(first_row.size() == mean.size());
  for (std::size_t j = 0; j < mean.size(); ++j)
    CHECK(static_cast<double>(plain_row[j] - first_row[j]) == Approx(mean[j]).margin(1e-5));

  const Record alone = run(test::fake_trial()), shifted = run(t), after = run(test::fake_trial());
  REQUIRE(shifted.status == "done");
  CHECK(value(after, "perplexity") == value(alone, "perplexity"));
  CHECK(value(shifted, "perplexity") != value(alone, "perplexity"));
  // Caches alone: no slot of this trial would take the shift back.
  TrialSpec caches = test::fake_trial();
  caches.quantization.activations.bits = 16;
  Run fresh;
  const Record before = fresh(caches);
  run(t);
  CHECK(value(run(caches), "perplexity") == value(before, "perplexity"));
}

TEST_CASE("trials that differ in activations only share model, reference and weights") {
  Run run;
  for (const char* name : {"identity", "haar", "dct"}) REQUIRE(run(with_transform(name)).status == "done");
  TrialSpec t = test::fake_trial();
  t.quantization.activations.bits = 8;
  t.quantization.allocation = {"uniform", Json::object()};
  REQUIRE(run(t).status == "done");
  CHECK(run.counters->opened == 1);
  CHECK(run.counters->built == 2);  // full precision, W4
  CHECK(run.session.counters().references == 1);
  CHECK(run.session.counters().workloads == 1);
  t.quantization.weights.bits = 8;
  REQUIRE(run(t).status == "done");
  CHECK(run.counters->built == 3);
  // 2 reference runs, 5 trials of 2 items.
  CHECK(run.counters->runs == 2 + 5 * 2);
}

TEST_CASE("calibration is shared and its method's warnings stay with every trial") {
  Run run;
  TrialSpec t = test::fake_trial();
  t.quantization.method = "halve";
  const Record first = run(t);
  REQUIRE(first.status == "done");
  CHECK(first.timing_s.count("calibrate") == 1);
  CHECK(first.warnings == std::vector<std::string>{"halved"});
  CHECK(run.session.counters().calibrations == 1);
  CHECK(run.counters->built == 2);  // the full-precision network serves reference and calibration
  t.quantization.activations.bits = 5;
  const Record second = run(t);
  CHECK(second.warnings == first.warnings);
  CHECK(second.data["calibration"]["digest"] == "digest of calibration");
  CHECK(run.counters->built == 2);
  CHECK(run.session.counters().calibrations == 1);
  CHECK(value(second, "perplexity_fp") == value(first, "perplexity_fp"));
}

TEST_CASE("cached and uncached runs give equal records") {
  const test::Scratch scratch;
  std::vector<TrialSpec> trials{with_transform("haar"), with_transform("klt"), with_transform("haar_packets"),
                                with_budget("optimal"), with_budget("integer")};
  trials.push_back(with_joint("budget"));
  trials.push_back(with_joint("integer_joint"));
  trials.push_back(with_transform("per_slot"));
  trials.push_back(with_joint("budget"));
  trials.back().quantization.sequence = with_transform("per_slot").quantization.sequence;
  TrialSpec energy = test::fake_trial();
  energy.quantization.allocation.options["pick"] = "energy";
  trials.push_back(energy);
  TrialSpec halve = test::fake_trial();
  halve.quantization.method = "halve";
  trials.push_back(halve);
  trials.push_back(with_budget("integer"));
  trials.back().quantization.activations.shift = "calibrated";
  trials.push_back(with_transform("klt"));
  trials.back().quantization.activations.shift = "calibrated";
  for (const TrialSpec& t : trials) {
    INFO(t.quantization.sequence.transform << " " << t.quantization.allocation.kind << " " << t.quantization.method);
    Run without, fills(scratch.path()), reads(scratch.path());
    const Record a = without(t), b = fills(t), c = reads(t);
    INFO((a.failure ? a.failure->message : ""));
    REQUIRE(a.status == "done");
    CHECK(comparable(a) == comparable(b));
    CHECK(comparable(a) == comparable(c));
    CHECK(reads.session.counters().references == 0);
    CHECK(reads.session.counters().calibrations == 0);
    CHECK(reads.counters->runs == 2);
  }
}

TEST_CASE("damaged cache entries are made again, with a warning") {
  const test::Scratch scratch;
  const TrialSpec t = with_transform(GENERATE(as<std::string>(), "klt", "haar_packets"));
  INFO(t.quantization.sequence.transform);
  const Record whole = Run(scratch.path())(t);
  REQUIRE(whole.status == "done");
  std::size_t bent = 0;
  for (const auto& entry : fs::recursive_directory_iterator(scratch.path())) {
    if (!entry.is_regular_file()) continue;
    std::string text = test::slurp(entry.path());
    text[text.size() / 2] = static_cast<char>(text[text.size() / 2] ^ 4);
    test::spill(entry.path(), text);
    ++bent;
  }
  CHECK(bent == 4);  // reference and three bases
  Record again = Run(scratch.path())(t);
  REQUIRE(again.status == "done");
  CHECK(again.warnings.size() == 4);
  again.warnings.clear();
  CHECK(comparable(again) == comparable(whole));
  CHECK(Run(scratch.path())(t).warnings.empty());
}

TEST_CASE("bases that exceed the budget are loaded again and again with the same result") {
  const test::Scratch scratch;
  const TrialSpec t = with_transform("klt");
  SessionOptions options = test::fake_session(std::make_shared<test::FakeCounters>(), scratch.path());
  options.basis_budget_bytes = 1;
  Session tight(options);
  const auto log = null_log();
  Progress progress;
  const Record a = run_trial(tight, {"id", Json::object(), t}, *log, progress);
  REQUIRE(a.status == "done");
  CHECK(comparable(a) == comparable(Run()(t)));
}

TEST_CASE("caches that a later trial transforms get bases of their own") {
  for (const char* name : {"klt", "haar_packets"}) {
    INFO(name);
    Run run;
    TrialSpec t = with_transform(name);
    t.quantization.kv_cache.transformed = false;
    REQUIRE(run(t).status == "done");
    t.quantization.kv_cache.transformed = true;
    const Record r = run(t);
    INFO((r.failure ? r.failure->message : ""));
    REQUIRE(r.status == "done");
    CHECK(comparable(r) == comparable(Run()(t)));
    // Other bits: the packets of the two-level rule are chosen anew, the eigenvectors are not.
    const int before = run.session.counters().calibrations;
    t.quantization.activations.bits = 3;
    REQUIRE(run(t).status == "done");
    CHECK(run.session.counters().calibrations == before + (std::string(name) == "klt" ? 0 : 1));
  }
}

TEST_CASE("a packet basis leaves less predicted noise on its own items than Haar of its depth") {
  const auto noise = [](const std::string& name) {
    TrialSpec t = with_transform(name);
    t.quantization.sequence.options = test::haar_options(3);
    t.calibration.text = t.data.text;  // the same items: the fake evaluation data have seed 1
    t.calibration.samples = t.data.windows;
    t.calibration.seed = 1;
    const Record r = Run()(t);
    REQUIRE(r.status == "done");
    return r.slots[0].sums.b1;  // the first site sees the items themselves
  };
  CHECK(noise("haar_packets") <= noise("haar") * (1 + 1e-5));
}

TEST_CASE("calibrated allocations meet the budget and use the energies") {
  for (const char* kind : {"optimal", "integer"}) {
    const Record r = Run()(with_budget(kind));
    INFO(kind << (r.failure ? r.failure->message : ""));
    REQUIRE(r.status == "done");
    CHECK(r.averages["activation_bits"].get<double>() == Approx(4.5).epsilon(1e-4));
    CHECK(value(r, "slot_sqnr") > value(Run()(test::fake_trial()), "slot_sqnr"));
  }
}

TEST_CASE("allocations over all slots meet one budget over all values, which slots share unequally") {
  for (const char* kind : {"budget", "integer_joint"}) {
    const Record r = Run()(with_joint(kind));
    INFO(kind << (r.failure ? r.failure->message : ""));
    REQUIRE(r.status == "done");
    const double inputs = test::fake_width + test::fake_hidden, cache = test::fake_cache;
    const double average =
        (inputs * r.averages["activation_bits"].get<double>() + cache * r.averages["kv_bits"].get<double>()) /
        (inputs + cache);
    CHECK(average <= 4.5 + 1e-6);
    CHECK(average > 4.4);
    double bits = 0, values = 0;
    for (const SlotResult& s : r.slots) {
      bits += s.sums.average_bits() * static_cast<double>(s.sums.features);
      values += static_cast<double>(s.sums.features);
    }
    CHECK(bits / values == Approx(average));
    CHECK(r.slots[0].sums.average_bits() != r.slots[1].sums.average_bits());
    CHECK(r.warnings.empty());
  }
}

TEST_CASE("on its own items a basis holds more energy in its first rows than any other transform") {
  const auto share = [](const std::string& name) {
    TrialSpec t = with_transform(name);
    t.calibration.text = t.data.text;  // the same items: the fake evaluation data have seed 1
    t.calibration.samples = t.data.windows;
    t.calibration.seed = 1;
    const Record r = Run()(t);
    REQUIRE(r.status == "done");
    return *r.slots[0].share();  // the first site sees the items themselves
  };
  const double klt = share("klt");
  for (const char* other : {"identity", "haar", "dct"}) CHECK(klt > share(other));
}

TEST_CASE("failures become records, and the next trial runs") {
  Run run;
  TrialSpec unknown = test::fake_trial();
  unknown.quantization.method = "halfe";
  Record r = run(unknown);
  REQUIRE(r.failure);
  CHECK(r.status == "failed");
  CHECK(r.failure->kind == "unsupported");
  CHECK(r.failure->message.find("halve") != std::string::npos);
  CHECK(r.metrics.empty());

  TrialSpec absent = test::fake_trial();
  absent.model.path = "absent";
  r = run(absent);
  REQUIRE(r.failure);
  CHECK(r.failure->kind == "missing");
  CHECK(r.failure->phase == "load");

  TrialSpec lengths = with_transform("klt");
  lengths.calibration.context = 32;
  r = run(lengths);
  REQUIRE(r.failure);
  CHECK(r.failure->message.find("calibration.context is 32") != std::string::npos);

  CHECK(run(test::fake_trial()).status == "done");
}

TEST_CASE("metrics that are not numbers and memory that does not suffice fail the trial only") {
  test::FakeOptions nan;
  nan.nan = true;
  Record r = Run({}, nan)(test::fake_trial());
  REQUIRE(r.failure);
  CHECK(r.failure->kind == "nan_metric");
  CHECK(r.failure->phase == "reference");

  test::FakeOptions none;
  none.no_memory = true;
  r = Run({}, none)(test::fake_trial());
  REQUIRE(r.failure);
  CHECK(r.failure->kind == "out_of_memory");
}

TEST_CASE("the same trial gives the same numbers, with other threads nearly the same") {
  const auto all = [](const Record& r) { return comparable(r); };
  const Record a = Run()(test::fake_trial());
  CHECK(all(a) == all(Run()(test::fake_trial())));
  const int before = threads();
  set_threads(1);
  const Record one = Run()(test::fake_trial());
  set_threads(3);
  const Record three = Run()(test::fake_trial());
  set_threads(before);
  // Sums of products in another order differ in the last digits; a value on a level's edge then takes the next level.
  CHECK(value(one, "nll") == Approx(value(three, "nll")).epsilon(1e-3));
}

TEST_CASE("a record admits when every token has the high bits") {
  TrialSpec t = test::fake_trial();
  t.quantization.allocation.options["high_tokens"] = 64;
  const Record r = Run()(t);
  REQUIRE(r.status == "done");
  CHECK(r.averages["activation_bits"] == 8.0);
  REQUIRE(r.warnings.size() == 1);
  CHECK(r.warnings[0].find("every token is at 8 bits") == 0);
  CHECK(Run()(test::fake_trial()).warnings.empty());
}

TEST_CASE("conditions of the theorem travel with the slots") {
  TrialSpec t = test::fake_trial();
  t.quantization.activations.symmetric = true;
  const Record r = Run()(t);
  REQUIRE(r.status == "done");
  CHECK(r.slots[0].theorem.find("symmetric") != std::string::npos);
  CHECK(r.slots[2].theorem.empty());
  CHECK(find_metric(r, "slot_bound_violations")->n == 1);
}

TEST_CASE("the record says that levels: auto had no number of high rows to go by") {
  Run run;
  TrialSpec t = with_transform("haar");
  t.quantization.sequence.options = {{"levels", nullptr}};
  CHECK(run(t).warnings.empty());
  t.quantization.allocation = {"uniform", Json::object()};
  const Record r = run(t);
  REQUIRE(r.status == "done");
  REQUIRE(r.warnings.size() == 1);
  CHECK(r.warnings.front().find("because allocation uniform names none: 0 levels of 6") != std::string::npos);
  t.quantization.activations.bits = 16;  // caches of option B alone: nothing is transformed
  t.quantization.kv_cache.transformed = false;
  CHECK(run(t).warnings.empty());
}
