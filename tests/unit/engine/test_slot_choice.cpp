// A transform for every slot: energies under all candidates in one pass, the choice under every kind of allocation, and
// what records and caches say of it.
#include "engine/slot_choice.h"

#include <cmath>
#include <iterator>

#include "base/error.h"
#include "engine/calibration.h"
#include "engine/keys.h"
#include "engine/runner.h"
#include "fake_model.h"
#include "quant/predicted_noise.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace stamp;

namespace {

TrialSpec per_slot_trial(Json candidates = nullptr) {
  TrialSpec t = test::fake_trial();
  t.quantization.sequence.transform = per_slot_name;
  t.quantization.sequence.options = {{"candidates", std::move(candidates)}};
  return t;
}

void set_allocation(TrialSpec& t, const std::string& kind, const Json& given = Json::object()) {
  t.quantization.allocation = {kind, complete_options(allocator(kind).info, given, "allocation")};
}

struct Bench {
  std::unique_ptr<Log> log = null_log();
  Progress progress;
  Monitor monitor{*log, progress};
  std::unique_ptr<Model> model = test::fake_model(std::make_shared<test::FakeCounters>());
  std::unique_ptr<Network> network = model->build();
  std::unique_ptr<Workload> items = model->workload(test::fake_trial().calibration);

  // Plans of the trial with the first candidate everywhere.
  std::vector<SlotPlan> plans(const TrialSpec& t, const SlotCandidates& candidates) {
    std::vector<SlotPlan> list = plan_slots(*network, t.quantization);
    set_transforms(
        list, t.quantization, 64, plain_gemm, [&](const SlotInfo&) { return candidates.transforms.front(); }, 0);
    return list;
  }
};

SlotCandidates candidates_of(const TrialSpec& t) {
  return slot_candidates(t.quantization, t.data.context, plain_gemm, 0);
}

// Invented: candidate c of slot i has energy in its first rows as (c, i) says, with ranges to match.
CandidateEnergies energies_that_fall(const std::vector<std::vector<double>>& fall) {
  CandidateEnergies all(fall.size());
  for (std::size_t c = 0; c < fall.size(); ++c)
    for (const double f : fall[c]) {
      RowEnergies e;
      double sum = 0;
      for (int row = 0; row < 64; ++row) {
        e.energy.push_back(std::exp2(-f * row));
        sum += e.energy.back();
      }
      for (double& v : e.energy) v /= sum;
      for (const double v : e.energy) e.spread.push_back(30 * v);
      all[c].push_back(std::move(e));
    }
  return all;
}

struct Run {
  std::shared_ptr<test::FakeCounters> counters = std::make_shared<test::FakeCounters>();
  std::unique_ptr<Log> log = null_log();
  Progress progress;
  Session session;
  explicit Run(const fs::path& cache = {}) : session(test::fake_session(counters, cache)) {}
  Record operator()(const TrialSpec& t) { return run_trial(session, {"id", Json::object(), t}, *log, progress); }
};

double value(const Record& r, const std::string& name) {
  const Metric* m = find_metric(r, name);
  if (!m) FAIL("no metric " << name);
  return m->value;
}

}  // namespace

TEST_CASE("candidates are those of the sequence behind the skipped tokens, by what they do") {
  const SlotCandidates all = candidates_of(per_slot_trial());
  REQUIRE(all.list.size() == 8);  // 63 tokens: up to six levels
  REQUIRE(all.transforms.size() == 8);
  CHECK(all.list[0].label == "identity");
  CHECK(all.list[6].label == "haar/6");
  for (const auto& l : all.transforms) CHECK(l->tokens() == 64);
  CHECK(all.transforms[0]->is_identity());
  CHECK_FALSE(all.transforms[1]->is_identity());
  // 8 high tokens, one of them skipped: 7 of 63 rows leave three levels.
  CHECK(candidates_of(per_slot_trial({"haar", "dct"})).list[0].label == "haar/3");
  TrialSpec none = per_slot_trial(Json::array({"wavelet"}));
  none.quantization.allocation.options["high_tokens"] = 64;  // as many as there are rows: no level is left
  CHECK(candidates_of(none).list[0].label == "identity");
  CHECK_THROWS_AS(candidates_of(per_slot_trial(Json::array({"haar/7"}))), TrialError);
}

TEST_CASE("energies under all candidates in one pass are those of a pass for each, to the bit") {
  Bench b;
  TrialSpec t = per_slot_trial();
  for (const bool caches : {true, false}) {
    t.quantization.kv_cache.transformed = caches;
    const SlotCandidates candidates = candidates_of(t);
    const std::vector<SlotPlan> plans = b.plans(t, candidates);
    int passes = 0;
    CalibrationPass pass = whole_pass(*b.network, *b.items);
    pass.run = [&, run = pass.run](std::int64_t i) {
      ++passes;
      run(i);
    };
    const CandidateEnergies together = measure_row_energies(pass, plans, candidates.transforms, b.monitor);
    CHECK(passes == 3);  // items
    REQUIRE(together.size() == candidates.list.size());
    for (std::size_t c = 0; c < together.size(); ++c) {
      const TrialSpec one = with_candidate(t, candidates.list[c]);
      std::vector<SlotPlan> alone = plan_slots(*b.network, one.quantization);
      set_transforms(alone, one.quantization, 64, plain_gemm, {});
      const auto energies = measure_row_energies(pass, alone, b.monitor);
      REQUIRE(together[c].size() == energies.size());
      for (std::size_t i = 0; i < energies.size(); ++i) {
        INFO(candidates.list[c].label << ", slot " << i);
        CHECK(together[c][i].energy == energies[i].energy);
        CHECK(together[c][i].spread == energies[i].spread);
      }
    }
  }
}

TEST_CASE("a slot by itself takes the candidate with the least predicted noise at the rule's bits") {
  Bench b;
  TrialSpec t = per_slot_trial({"identity", "haar/2", "dct"});
  // The first slot's rows fall fastest under the third candidate, the second's under the second, the third's under
  // none.
  const CandidateEnergies energies = energies_that_fall({{0.01, 0.01, 0.3}, {0.1, 0.4, 0.05}, {0.3, 0.2, 0.3}});
  const std::vector<std::string> kinds{"two_level", "two_level magnitude", "two_level energy", "integer",
                                       "optimal",   "integer_joint"};
  for (const std::string& kind : kinds) {
    INFO(kind);
    if (kind.starts_with("two_level ")) {
      set_allocation(t, "two_level", {{"high_tokens", 8}, {"pick", kind.substr(10)}});
    } else {
      set_allocation(t, kind, kind == "two_level" ? Json{{"high_tokens", 8}} : Json{{"average_bits", 4.5}});
    }
    const AllocationSpec& allocation = t.quantization.allocation;
    const SlotCandidates candidates = candidates_of(t);
    std::vector<SlotPlan> plans = b.plans(t, candidates);
    const auto joint = choose_transforms(plans, t.quantization, 64, candidates, energies);
    CHECK(joint.has_value() == (kind == "integer_joint"));
    for (std::size_t i = 0; i < 3; ++i) {
      std::size_t best = 0;
      std::vector<double> noise;
      for (std::size_t c = 0; c < 3; ++c) {
        const RowEnergies& e = energies[c][i];
        noise.push_back(predicted_noise(bits_of(allocation, plans[i].low_bits, 64, &e), e.energy, e.spread));
        if (noise[c] < noise[best]) best = c;
      }
      CHECK(plans[i].chosen == candidates.list[best].label);
      CHECK(plans[i].transform == candidates.transforms[best]);
      CHECK(plans[i].bits.bits.size() == 64);
    }
    CHECK(plans[0].chosen == "dct");
    CHECK(plans[1].chosen == "haar/2");
    CHECK(plans[2].chosen == "identity");  // as good as dct, and first
    CHECK(chosen_text(plans) == "dct at 1 slot, haar/2 at 1 slot, identity at 1 slot");
  }
}

TEST_CASE("budget takes transform and high rows together, and one average") {
  Bench b;
  TrialSpec t = per_slot_trial({"identity", "haar/2", "dct"});
  set_allocation(t, "budget", {{"high_tokens", 8}});
  const CandidateEnergies energies = energies_that_fall({{0.01, 0.01, 0.3}, {0.1, 0.4, 0.05}, {0.3, 0.2, 0.3}});
  const SlotCandidates candidates = candidates_of(t);
  std::vector<SlotPlan> plans = b.plans(t, candidates);
  const auto joint = choose_transforms(plans, t.quantization, 64, candidates, energies);
  REQUIRE(joint);
  CHECK(joint->exact);
  CHECK(plans[0].chosen == "dct");
  CHECK(plans[1].chosen == "haar/2");
  CHECK(plans[2].chosen == "identity");
  double bits = 0, values = 0, noise = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const auto d = static_cast<double>(plans[i].slot->info().features);
    bits += d * plans[i].bits.average();
    values += d;
    const std::size_t c = plans[i].chosen == "identity" ? 0 : plans[i].chosen == "haar/2" ? 1 : 2;
    CHECK(plans[i].transform == candidates.transforms[c]);
    noise += predicted_noise(plans[i].bits, energies[c][i].energy, energies[c][i].spread);  // of a signal of 1
  }
  CHECK(bits / values <= 4.5 + 1e-9);
  CHECK(joint->average_bits == Approx(bits / values));
  CHECK(joint->loss == Approx(noise));
  // Caches that stay as they are take part in the budget, under L = I.
  t.quantization.kv_cache.transformed = false;
  std::vector<SlotPlan> untouched = b.plans(t, candidates);
  const auto again = choose_transforms(untouched, t.quantization, 64, candidates, energies);
  REQUIRE(again);
  CHECK(untouched[2].chosen.empty());
  CHECK(untouched[2].transform->is_identity());
  CHECK(untouched[2].bits.bits == plans[2].bits.bits);  // it had the first candidate before
  CHECK_FALSE(untouched[0].chosen.empty());
}

TEST_CASE("the energies of a candidate lie under the key of the trial that has it everywhere") {
  const KeyContext context{{{"digest", "m"}}, {{"digest", "c"}}, 1, "libtorch"};
  const TrialSpec t = per_slot_trial();
  const auto key = [&](const TrialSpec& trial) {
    return row_energies_key(context, prepared_key(context, trial, false, false), trial, 64).dump();
  };
  TrialSpec haar = test::fake_trial();  // three levels
  CHECK(key(with_candidate(t, {"haar/3", "haar", {{"levels", 3}}})) == key(haar));
  CHECK(key(with_candidate(t, {"haar/2", "haar", {{"levels", 2}}})) != key(haar));
  CHECK(key(with_candidate(t, {"dct", "dct", Json::object()})) != key(haar));
}

TEST_CASE("records name every slot's transform, the same in every run") {
  TrialSpec t = per_slot_trial();
  for (const std::string kind : {"two_level", "budget", "integer_joint"}) {
    INFO(kind);
    set_allocation(t, kind, kind == "integer_joint" ? Json{{"average_bits", 4.5}} : Json{{"high_tokens", 8}});
    const Record r = Run()(t);
    INFO((r.failure ? r.failure->message : ""));
    REQUIRE(r.status == "done");
    REQUIRE(r.transforms.size() == 3);
    for (const char* slot : {"first.input", "middle.key_cache", "second.input"}) CHECK(r.transforms.contains(slot));
    // Rows of an AR(1) process with rho = 0.95.
    CHECK(r.transforms["first.input"] != "identity");
    CHECK(record_from_json(Json::parse(to_json(r).dump())).transforms == r.transforms);
    const Record again = Run()(t);
    CHECK(again.transforms == r.transforms);
    CHECK(value(again, "perplexity") == value(r, "perplexity"));
  }
  CHECK(Run()(test::fake_trial()).transforms.empty());
}

TEST_CASE("one candidate is the trial that has it everywhere") {
  for (const std::string kind : {"two_level", "budget"}) {
    TrialSpec one = per_slot_trial(Json::array({"haar/3"})), plain = test::fake_trial();
    for (TrialSpec* t : {&one, &plain}) set_allocation(*t, kind, {{"high_tokens", 8}});
    const Record a = Run()(one), b = Run()(plain);
    REQUIRE(a.status == "done");
    CHECK(value(a, "perplexity") == value(b, "perplexity"));
    CHECK(a.averages == b.averages);
    CHECK(a.transforms["first.input"] == "haar/3");
  }
}

TEST_CASE("calibration is measured once, whoever asks first") {
  const test::Scratch scratch;
  TrialSpec haar = test::fake_trial();
  set_allocation(haar, "budget", {{"high_tokens", 8}});
  TrialSpec chosen = haar;
  chosen.quantization.sequence = per_slot_trial({"identity", "haar/3"}).quantization.sequence;
  const auto kept = [&] {
    return std::distance(fs::directory_iterator(scratch.path() / "row_energies"), fs::directory_iterator());
  };
  {
    Run first(scratch.path());
    REQUIRE(first(haar).status == "done");
    CHECK(first.session.counters().calibrations == 1);
    CHECK(kept() == 1);
  }
  Run second(scratch.path());
  const Record r = second(chosen);
  REQUIRE(r.status == "done");
  CHECK(second.session.counters().calibrations == 1);
  CHECK(kept() == 2);  // identity came in, three levels were there
  CHECK(r.transforms == Run()(chosen).transforms);
  // Another rule, and fewer candidates, need nothing new.
  Run third(scratch.path());
  TrialSpec two = chosen;
  set_allocation(two, "two_level", {{"high_tokens", 8}});
  REQUIRE(third(two).status == "done");
  chosen.quantization.sequence.options["candidates"] = Json::array({"identity"});
  REQUIRE(third(chosen).status == "done");
  CHECK(third.session.counters().calibrations == 0);
  CHECK(third.counters->runs == 2 * 2);
}

TEST_CASE("sequences of another length, and a calibration of another, are refused in words") {
  TrialSpec t = per_slot_trial();
  t.calibration.context = 32;
  Record r = Run()(t);
  REQUIRE(r.failure);
  CHECK(r.failure->message.find("per_slot") != std::string::npos);
  CHECK(r.failure->message.find("calibration.context is 32, data.context 64") != std::string::npos);
  Bench b;
  t = per_slot_trial({"identity", "dct"});
  const SlotCandidates candidates = candidates_of(t);
  std::vector<SlotPlan> plans = b.plans(t, candidates);
  choose_transforms(plans, t.quantization, 64, candidates, energies_that_fall({{1, 1, 1}, {2, 2, 2}}));
  set_rules(plans, t.quantization, 64, plain_gemm);
  CHECK(plans[0].whole->of(64).transform == candidates.transforms[1]);
  CHECK_THROWS_WITH(plans[0].whole->of(32), Catch::Contains("per_slot"));
  CHECK(plans[0].decode->of(5).transform->is_identity());
  t = per_slot_trial(Json::array({"hair"}));
  r = Run()(t);
  REQUIRE(r.failure);
  CHECK(r.failure->kind == "refused");
  CHECK(r.failure->message.find("did you mean \"haar\"") != std::string::npos);
}
