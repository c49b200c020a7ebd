// SpinQuant leaves the function of a model alone, trained or not, and takes a training up where it was left.
// Specification methods 7.
#include "methods/spinquant.h"

#include <map>

#include "base/error.h"
#include "unit/methods/decoders.h"

using namespace stamp;

namespace {

class MemoryStore : public MethodStore {
 public:
  std::optional<std::string> load(const Json& part) override {
    const auto found = entries.find(part.dump());
    return found == entries.end() ? std::nullopt : std::optional(found->second);
  }
  void store(const Json& part, std::string_view bytes) override { entries[part.dump()] = bytes; }
  std::map<std::string, std::string> entries;
};

// Calibration items made of the ids of a fixture, over and over.
class Repeated : public Workload {
 public:
  Repeated(std::vector<std::int64_t> ids, std::int64_t items) : ids_(std::move(ids)), items_(items) {}
  std::int64_t count() const override { return items_; }
  WorkItem item(std::int64_t i) const override {
    std::vector<std::int64_t> ids = ids_;
    std::rotate(ids.begin(), ids.begin() + i % static_cast<std::int64_t>(ids.size()), ids.end());
    WorkItem item;
    item.index = i;
    item.inputs["ids"] = test::tensor_of(ids);
    return item;
  }
  std::int64_t tokens_per_item() const override { return static_cast<std::int64_t>(ids_.size()); }
  Json description() const override { return {}; }
  std::string protocol() const override { return ""; }

 private:
  std::vector<std::int64_t> ids_;
  std::int64_t items_;
};

struct Trial {
  explicit Trial(const std::string& fixture) : checkpoint(test::open_fixture(fixture)) {
    if (!checkpoint) return;
    source = std::make_shared<DecoderSource>(checkpoint);
    ids = test::first_sample(*checkpoint);
    calibration = std::make_unique<Repeated>(ids, 4);
    context.options = {{"learn", true},
                       {"rotation", "hadamard"},
                       {"steps", 6},
                       {"tokens", 12},
                       {"batch", 2},
                       {"learning_rate", 1.5},
                       {"train_weight_bits", 16},
                       {"arithmetic", "float32"},
                       {"seed", 0}};
    context.calibration = calibration.get();
    context.store = &store;
    context.warn = [this](const std::string& text) { warnings.push_back(text); };
    context.record_training = [this](Json entry) { history.push_back(std::move(entry)); };
  }
  Trial(const Trial&) = delete;
  explicit operator bool() const { return checkpoint != nullptr; }

  at::Tensor logits() {
    DecoderNetwork original(source);
    return test::logits_of(original, ids);
  }
  std::unique_ptr<DecoderNetwork> spun() {
    auto network = std::make_unique<DecoderNetwork>(source);
    test::apply(*SpinQuant::make(), *network, context);
    return network;
  }

  std::shared_ptr<const Checkpoint> checkpoint;
  std::shared_ptr<const DecoderSource> source;
  std::vector<std::int64_t> ids;
  std::unique_ptr<Repeated> calibration;
  MemoryStore store;
  std::vector<std::string> warnings;
  std::vector<Json> history;
  MethodContext context;
};

at::Tensor gate(DecoderNetwork& network) {
  return network.layer(0).gate_up.weights()[0].weight;
}
at::Tensor value(DecoderNetwork& network, std::size_t layer) {
  return network.layer(layer).qkv.weights()[2].weight;
}

}  // namespace

TEST_CASE("a decoder under spinquant gives the logits of the original") {
  for (const std::string& name : test::tiny_decoders()) {
    Trial trial(name);
    if (!trial) return;
    const at::Tensor expected = trial.logits();
    for (const bool learn : {false, true})
      for (const std::string rotation : {"hadamard", "random"}) {
        trial.context.options["learn"] = learn;
        trial.context.options["rotation"] = rotation;
        trial.store.entries.clear();
        const auto spun = trial.spun();
        INFO(name << " learn " << learn << " " << rotation);
        CHECK(test::distance(test::logits_of(*spun, trial.ids), expected) <= test::exact * test::largest(expected));
        for (std::size_t b = 0; b < spun->blocks(); ++b) {
          CHECK(spun->layer(b).output.online() == nullptr);  // nothing across heads
          CHECK(spun->layer(b).down.online() != nullptr);
          CHECK(spun->layer(b).key.head_rotation() != nullptr);
        }
        spun->layer(1).down.set_online(nullptr);
        CHECK(test::distance(test::logits_of(*spun, trial.ids), expected) > 1e-2 * test::largest(expected));
      }
  }
}

TEST_CASE("without a quantized key cache nothing turns the keys") {
  Trial trial("llama_tiny_untied_bias");
  if (!trial) return;
  trial.context.options["learn"] = false;
  trial.context.quantization.kv_cache.bits = 16;
  const at::Tensor expected = trial.logits();
  const auto spun = trial.spun();
  CHECK(spun->layer(0).key.head_rotation() == nullptr);
  CHECK(test::distance(test::logits_of(*spun, trial.ids), expected) <= test::exact * test::largest(expected));
}

TEST_CASE("every block has a rotation of its heads of its own; seeds make others") {
  Trial trial("llama_tiny_untied_bias");
  if (!trial) return;
  trial.context.options["learn"] = false;
  const auto spun = trial.spun(), again = trial.spun();
  trial.context.options["seed"] = 5;
  const auto other = trial.spun();
  CHECK(test::distance(gate(*spun), gate(*again)) == 0);
  CHECK(test::distance(gate(*spun), gate(*other)) > 0.01);
  for (std::size_t b = 0; b < 2; ++b) CHECK(test::distance(value(*spun, b), value(*other, b)) > 0.01);
}

TEST_CASE("training moves the rotations, is recorded and kept") {
  Trial trial("llama_tiny_untied_bias");
  if (!trial) return;
  trial.context.options["steps"] = 20;
  trial.context.options["learn"] = false;
  const auto plain = trial.spun();
  CHECK(trial.history.empty());
  trial.context.options["learn"] = true;
  const auto learned = trial.spun();
  CHECK(test::distance(gate(*learned), gate(*plain)) > 1e-3);
  REQUIRE(trial.history.size() == 21);
  CHECK(trial.history[0].at("step") == 1);
  CHECK(trial.history[19].at("step") == 20);
  // Of a model with random weights no gain is to be expected; a warning says when there is none.
  const double before = trial.history[20].at("probe_loss_before"), after = trial.history[20].at("probe_loss_after");
  CHECK(std::isfinite(after));
  CHECK(after != before);
  CHECK(trial.warnings.size() == (after < before ? 0 : 1));

  // A second trial reads what the first one kept: no step is taken, the record is the same.
  const std::vector<Json> history = trial.history;
  trial.history.clear();
  trial.context.step = [](std::int64_t, std::int64_t) { FAIL("trained again"); };
  const auto again = trial.spun();
  CHECK(test::distance(gate(*again), gate(*learned)) == 0);
  CHECK(trial.history == history);
}

TEST_CASE("a killed training resumes to the same weights") {
  Trial trial("qwen2_tiny");
  if (!trial) return;
  trial.context.options["steps"] = 13;
  const auto whole = trial.spun();
  trial.store.entries.clear();
  trial.context.step = [](std::int64_t done, std::int64_t) {
    if (done == 11) throw std::runtime_error("killed");
  };
  CHECK_THROWS_AS(trial.spun(), std::runtime_error);
  CHECK(trial.store.entries.size() == 1);
  std::int64_t first = 0;
  trial.context.step = [&](std::int64_t done, std::int64_t) { first = first ? first : done; };
  const auto resumed = trial.spun();
  CHECK(first == 11);  // the state kept behind step 10
  CHECK(test::distance(gate(*resumed), gate(*whole)) == 0);
  CHECK(test::distance(value(*resumed, 1), value(*whole, 1)) == 0);
}

TEST_CASE("a kept state that does not fit is reported and trained anew") {
  Trial trial("llama_tiny_untied_bias");
  if (!trial) return;
  const auto whole = trial.spun();
  trial.store.entries.begin()->second.resize(100);
  const auto again = trial.spun();
  REQUIRE(!trial.warnings.empty());
  CHECK(trial.warnings.back().find("does not fit this model") != std::string::npos);
  CHECK(test::distance(gate(*again), gate(*whole)) == 0);
}

TEST_CASE("a streamed network trains and rotates to the same weights") {
  Trial trial("llama_tiny_llama3rope");
  if (!trial) return;
  const auto whole = trial.spun();
  trial.store.entries.clear();
  DecoderNetwork streamed(trial.source, false);
  const auto run = SpinQuant::make()->start(streamed, trial.context);
  for (std::size_t b = 0; b < streamed.blocks(); ++b) {
    CHECK(!streamed.layer(b).loaded());
    streamed.load(b);
    run->block(b);
  }
  CHECK(test::distance(gate(streamed), gate(*whole)) == 0);
  CHECK(test::distance(value(streamed, 1), value(*whole, 1)) == 0);
}

TEST_CASE("nothing to train on, nothing to train for, nothing finite: each is said") {
  Trial trial("llama_tiny_untied_bias");
  if (!trial) return;
  SECTION("full precision has no gradient") {
    trial.context.quantization.activations.bits = trial.context.quantization.kv_cache.bits = 16;
    trial.context.step = [](std::int64_t, std::int64_t) { FAIL("trained"); };
    trial.spun();
    REQUIRE(!trial.warnings.empty());
    CHECK(trial.warnings.back().find("nothing is quantized while training") != std::string::npos);
  }
  SECTION("items of one token") {
    trial.calibration = std::make_unique<Repeated>(std::vector<std::int64_t>{3}, 4);
    trial.context.calibration = trial.calibration.get();
    CHECK_THROWS_AS(trial.spun(), TrialError);
  }
  SECTION("a weight that is not a number") {
    DecoderNetwork network(trial.source);
    network.layer(0).down.weights()[0].weight.data_ptr<float>()[3] = NAN;
    try {
      test::apply(*SpinQuant::make(), network, trial.context);
      FAIL("no error");
    } catch (const TrialError& error) {
      CHECK(error.kind() == "training");
      CHECK(std::string(error.what()).find("not finite at step 1 of 6") != std::string::npos);
    }
  }
}
