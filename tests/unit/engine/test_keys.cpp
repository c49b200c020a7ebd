#include <functional>
#include <set>
#include <string>
#include <vector>

#include "engine/keys.h"
#include "engine/slot_bases.h"
#include "fake_model.h"
#include "support/catch.h"

using namespace stamp;

namespace {

KeyContext context() {
  return {{{"digest", "m"}, {"name", "fake"}}, {{"digest", "c"}, {"seed", 0}}, 2, "libtorch"};
}

using Change = std::function<void(KeyContext&, TrialSpec&)>;

Json prepared(const KeyContext& c, const TrialSpec& t) {
  return prepared_key(c, t, true, false);
}
Json energies(const KeyContext& c, const TrialSpec& t) {
  return row_energies_key(c, prepared(c, t), t, t.data.context);
}
Json basis(const KeyContext& c, const TrialSpec& t) {
  return basis_key(c, prepared(c, t), t.quantization.sequence.skip_first, "slot");
}
Json packets(const KeyContext& c, const TrialSpec& t) {
  const QuantizationSpec& q = t.quantization;
  return basis_key(c, prepared(c, t), q.sequence.skip_first, "slot",
                   basis_depends(q, transform_request(q, t.data.context, plain_gemm), q.activations.bits));
}

// Every change gives a key of its own.
void all_differ(Json (*key)(const KeyContext&, const TrialSpec&), const std::vector<Change>& changes) {
  std::set<std::string> seen{key(context(), test::fake_trial()).dump()};
  for (std::size_t i = 0; i < changes.size(); ++i) {
    KeyContext c = context();
    TrialSpec t = test::fake_trial();
    changes[i](c, t);
    INFO("change " << i);
    CHECK(seen.insert(key(c, t).dump()).second);
  }
}

void none_differs(Json (*key)(const KeyContext&, const TrialSpec&), const std::vector<Change>& changes) {
  const std::string base = key(context(), test::fake_trial()).dump();
  for (std::size_t i = 0; i < changes.size(); ++i) {
    KeyContext c = context();
    TrialSpec t = test::fake_trial();
    changes[i](c, t);
    INFO("change " << i);
    CHECK(key(c, t).dump() == base);
  }
}

const std::vector<Change> weight_changes{
    [](KeyContext& c, TrialSpec&) { c.model["digest"] = "n"; },
    [](KeyContext& c, TrialSpec&) { c.calibration["digest"] = "d"; },
    [](KeyContext& c, TrialSpec&) { c.calibration["seed"] = 1; },
    [](KeyContext&, TrialSpec& t) { t.quantization.method = "quarot"; },
    [](KeyContext&, TrialSpec& t) { t.quantization.method_options["alpha"] = 0.5; },
    [](KeyContext&, TrialSpec& t) { t.repeat = 1; },
    [](KeyContext&, TrialSpec& t) { t.quantization.kv_cache.bits = 16; },
    [](KeyContext&, TrialSpec& t) { t.quantization.weights.bits = 3; },
    [](KeyContext&, TrialSpec& t) { t.quantization.weights.bits = 16; },
    [](KeyContext&, TrialSpec& t) { t.quantization.weights.symmetric = false; },
    [](KeyContext&, TrialSpec& t) { t.quantization.weights.clip_search = false; },
    [](KeyContext&, TrialSpec& t) { t.quantization.weights.quantizer = "other"; },
    [](KeyContext&, TrialSpec& t) { t.quantization.weights.options["damping"] = 0.1; },
    [](KeyContext&, TrialSpec& t) { t.quantization.weights.granularity = "group"; },
    [](KeyContext&, TrialSpec& t) {
      t.quantization.weights.granularity = "group";
      t.quantization.weights.group_size = 32;
    },
};

}  // namespace

TEST_CASE("every ingredient of prepared weights changes their key") {
  all_differ(prepared, weight_changes);
}

TEST_CASE("what cannot change the weights does not change their key") {
  none_differs(prepared, {
                             [](KeyContext& c, TrialSpec&) { c.model["name"] = "renamed"; },
                             [](KeyContext&, TrialSpec& t) { t.data.windows = 9; },
                             [](KeyContext&, TrialSpec& t) { t.quantization.activations.bits = 8; },
                             [](KeyContext&, TrialSpec& t) { t.quantization.kv_cache.bits = 8; },
                             [](KeyContext&, TrialSpec& t) { t.quantization.sequence.transform = "dct"; },
                             [](KeyContext&, TrialSpec& t) { t.quantization.allocation.kind = "uniform"; },
                             [](KeyContext&, TrialSpec& t) { t.quantization.weights.group_size = 7; },  // per channel
                         });
  // Without calibration the calibration text does not matter either.
  KeyContext other = context();
  other.calibration["digest"] = "d";
  CHECK(prepared_key(context(), test::fake_trial(), false, false) ==
        prepared_key(other, test::fake_trial(), false, false));
}

TEST_CASE("what a method trained depends on the grids, not on the sequence transform") {
  const Json part = {{"block", 0}};
  const Json usual = training_key(context(), test::fake_trial(), part);
  TrialSpec t = test::fake_trial();
  t.quantization.activations.bits = 3;
  CHECK(training_key(context(), t, part) != usual);
  t = test::fake_trial();
  t.quantization.kv_cache.clip = 0.95;
  CHECK(training_key(context(), t, part) != usual);
  t = test::fake_trial();
  t.quantization.sequence.transform = "dct";
  t.quantization.kv_cache.transformed = false;
  t.quantization.weights.quantizer = "gptq";
  t.quantization.weights.clip_search = !t.quantization.weights.clip_search;
  CHECK(training_key(context(), t, part) == usual);
  t.quantization.weights.bits = 3;
  CHECK(training_key(context(), t, part) != usual);
  t = test::fake_trial();
  CHECK(training_key(context(), t, {{"block", 1}}) != usual);
}

TEST_CASE("every ingredient of row energies changes their key") {
  std::vector<Change> changes = weight_changes;
  changes.push_back([](KeyContext& c, TrialSpec&) { c.threads = 3; });
  changes.push_back([](KeyContext& c, TrialSpec&) { c.arithmetic = "another"; });
  changes.push_back([](KeyContext&, TrialSpec& t) { t.quantization.sequence.transform = "dct"; });
  changes.push_back([](KeyContext&, TrialSpec& t) { t.quantization.sequence.options["levels"] = 2; });
  changes.push_back([](KeyContext&, TrialSpec& t) { t.quantization.sequence.skip_first = 0; });
  changes.push_back([](KeyContext&, TrialSpec& t) { t.quantization.allocation.options["high_tokens"] = 16; });
  changes.push_back([](KeyContext&, TrialSpec& t) { t.data.context = 128; });
  changes.push_back([](KeyContext&, TrialSpec& t) { t.quantization.activations.bits = 16; });
  changes.push_back([](KeyContext&, TrialSpec& t) { t.quantization.activations.granularity = "group"; });
  changes.push_back([](KeyContext&, TrialSpec& t) { t.quantization.activations.group_size = 32; });
  changes.push_back([](KeyContext&, TrialSpec& t) { t.quantization.activations.shift = "sequence"; });
  changes.push_back([](KeyContext&, TrialSpec& t) { t.quantization.activations.shift = "calibrated"; });
  changes.push_back([](KeyContext&, TrialSpec& t) { t.quantization.kv_cache.granularity = "token"; });
  changes.push_back([](KeyContext&, TrialSpec& t) { t.quantization.kv_cache.transformed = false; });
  all_differ(energies, changes);
}

TEST_CASE("every ingredient of a basis changes its key") {
  std::vector<Change> changes = weight_changes;
  changes.push_back([](KeyContext& c, TrialSpec&) { c.threads = 3; });
  changes.push_back([](KeyContext&, TrialSpec& t) { t.quantization.sequence.skip_first = 0; });
  all_differ(basis, changes);
  CHECK(basis_key(context(), {}, 1, "a") != basis_key(context(), {}, 1, "b"));
  CHECK(basis_key(context(), {}, 1, "a", {}, "sequence") != basis_key(context(), {}, 1, "a"));
}

TEST_CASE("every ingredient of channel means changes their key") {
  const Json usual = channel_means_key(context(), {{"method", "rtn"}}, 1);
  CHECK(channel_means_key(context(), {{"method", "rtn"}}, 0) != usual);
  CHECK(channel_means_key(context(), {{"method", "quarot"}}, 1) != usual);
  for (const auto& change : std::vector<std::function<void(KeyContext&)>>{
           [](KeyContext& c) { c.threads = 3; }, [](KeyContext& c) { c.arithmetic = "another"; },
           [](KeyContext& c) { c.calibration["digest"] = "another"; }}) {
    KeyContext changed = context();
    change(changed);
    CHECK(channel_means_key(changed, {{"method", "rtn"}}, 1) != usual);
  }
}

TEST_CASE("a packet basis depends on what it is chosen for, a basis of the correlation does not") {
  const auto of = [](const std::string& transform, const Json& options, const Change& change) {
    TrialSpec t = test::fake_trial();
    t.quantization.sequence.transform = transform;
    t.quantization.sequence.options = options;
    KeyContext c = context();
    change(c, t);
    return packets(c, t).dump();
  };
  const Change none = [](KeyContext&, TrialSpec&) {};
  const std::vector<Change> changes{
      [](KeyContext&, TrialSpec& t) { t.quantization.activations.bits = 3; },
      [](KeyContext&, TrialSpec& t) { t.quantization.allocation.options["high_bits"] = 7.0; },
      [](KeyContext&, TrialSpec& t) { t.quantization.allocation.options["high_tokens"] = 16; },
  };
  const Json two_level{{"levels", 3}, {"cost", "two_level"}}, log{{"levels", 3}, {"cost", "log_energy"}};
  Json automatic = log;
  automatic["levels"] = nullptr;
  std::set<std::string> seen{of("haar_packets", two_level, none)};
  for (const Change& change : changes) CHECK(seen.insert(of("haar_packets", two_level, change)).second);
  CHECK(seen.insert(of("haar_packets", log, none)).second);
  CHECK(seen.insert(of("haar_packets", automatic, none)).second);
  CHECK(seen.insert(of("haar_packets", automatic, changes[2])).second);  // other levels
  CHECK(of("haar_packets", log, changes[0]) == of("haar_packets", log, none));
  CHECK(of("haar_packets", log, changes[2]) == of("haar_packets", log, none));
  // Bases of the correlation keep the key they always had.
  for (const Change& change : changes) CHECK(of("klt", Json::object(), change) == of("klt", Json::object(), none));
  CHECK(of("klt", Json::object(), none) == basis(context(), test::fake_trial()).dump());
}

TEST_CASE("row energies under a packet basis depend on the bits it was chosen for") {
  const auto of = [](const std::string& transform, double activations, double caches) {
    TrialSpec t = test::fake_trial();
    t.quantization.sequence.transform = transform;
    t.quantization.sequence.options = Json::object();
    t.quantization.activations.bits = activations;
    t.quantization.kv_cache.bits = caches;
    return energies(context(), t).dump();
  };
  CHECK(of("haar_packets", 4, 4) != of("haar_packets", 3, 4));
  CHECK(of("haar_packets", 4, 4) != of("haar_packets", 4, 3));
  CHECK(of("klt", 4, 4) == of("klt", 3, 4));
  CHECK(of("haar", 4, 4) == of("haar", 4, 3));
}

TEST_CASE("references depend on model, data, metrics and machine") {
  const Json data{{"digest", "d"}, {"windows", 4}};
  std::set<std::string> seen;
  CHECK(seen.insert(reference_key(context(), data, {"perplexity"}).dump()).second);
  CHECK(seen.insert(reference_key(context(), data, {"perplexity", "more"}).dump()).second);
  CHECK(seen.insert(reference_key(context(), {{"digest", "d"}, {"windows", 5}}, {"perplexity"}).dump()).second);
  KeyContext c = context();
  c.model["digest"] = "n";
  CHECK(seen.insert(reference_key(c, data, {"perplexity"}).dump()).second);
  CHECK(channel_maxima_key(c) != channel_maxima_key(context()));
  c = context();
  c.threads = 1;
  CHECK(seen.insert(reference_key(c, data, {"perplexity"}).dump()).second);
  CHECK(channel_maxima_key(c) != channel_maxima_key(context()));
  c.calibration["samples"] = 3;
  CHECK(channel_maxima_key(c) != channel_maxima_key(context()));
}

TEST_CASE("repeats derive seeds, the first keeps what is written") {
  TrialSpec t = test::fake_trial();
  t.calibration.seed = 5;
  CHECK(method_seed(t) == 0);
  CHECK(calibration_of(t).seed == 5);
  t.repeat = 1;
  const auto first = method_seed(t), calibration = calibration_of(t).seed;
  CHECK(first != 0);
  CHECK(calibration != 5);
  t.repeat = 2;
  CHECK(method_seed(t) != first);
  CHECK(calibration_of(t).seed != calibration);
}
