// A streamed trial against the same trial in memory: every number of the record, to the last bit.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cstdlib>
#include <random>

#include "base/error.h"
#include "data/text.h"
#include "engine/plugins.h"
#include "engine/runner.h"
#include "methods/method.h"
#include "methods/register.h"
#include "models/decoder/decoder_network.h"
#include "models/info/architecture.h"
#include "support/catch.h"
#include "support/scratch.h"
#include "unit/models/fixtures.h"
#include "weights/register.h"

using namespace stamp;

namespace {

class RandomWindows : public Workload {
 public:
  RandomWindows(std::int64_t vocabulary, std::int64_t context, std::int64_t count, const std::string& name)
      : vocabulary_(vocabulary), context_(context), count_(count), name_(name) {}
  std::int64_t count() const override { return count_; }
  WorkItem item(std::int64_t i) const override {
    std::mt19937 generator(static_cast<unsigned>(i) + (name_ == "data" ? 0u : 1000u));
    WorkItem out;
    out.index = i;
    at::Tensor ids = at::empty({context_}, at::TensorOptions(at::kLong));
    for (std::int64_t t = 0; t < context_; ++t)
      ids.data_ptr<std::int64_t>()[t] = static_cast<std::int64_t>(generator()) % vocabulary_;
    out.inputs["ids"] = ids;
    return out;
  }
  std::int64_t tokens_per_item() const override { return context_; }
  Json description() const override {
    return {{"name", name_}, {"digest", name_}, {"context", context_}, {"count", count_}};
  }
  std::string protocol() const override { return name_; }

 private:
  std::int64_t vocabulary_, context_, count_;
  std::string name_;
};

// A decoder of the fixtures, which have no tokenizer.
class FixtureModel : public Model {
 public:
  explicit FixtureModel(const std::string& name)
      : source_(std::make_shared<DecoderSource>(test::open_fixture(name))), name_(name) {}
  Json description() const override { return {{"digest", name_}, {"architecture", "tiny"}}; }
  std::unique_ptr<Network> build(bool load_blocks) const override {
    return std::make_unique<DecoderNetwork>(source_, load_blocks);
  }
  std::unique_ptr<Workload> workload(const DataSpec& data) const override {
    return std::make_unique<RandomWindows>(source_->config().vocabulary, data.context, data.windows, "data");
  }
  std::unique_ptr<Workload> workload(const CalibrationSpec& data) const override {
    return std::make_unique<RandomWindows>(source_->config().vocabulary, data.context, data.samples, "calibration");
  }

 private:
  std::shared_ptr<const DecoderSource> source_;
  std::string name_;
};

SessionOptions session_options(const fs::path& cache) {
  SessionOptions options;
  options.plugins = standard_plugins();
  options.plugins.open_model = [](const ModelSpec& spec) { return std::make_unique<FixtureModel>(spec.path); };
  options.cache_folder = cache;
  options.gemm = torch_gemm;
  return options;
}

template <class List>
Json defaults(const List& list, const std::string& name, const Json& given = Json::object()) {
  for (const auto& p : list)
    if (p.info.name == name) return complete_options(p.info, given, name);
  throw std::logic_error("no plugin " + name);
}

struct Case {
  std::string method = "rtn", weights = "rtn", transform = "haar", allocation = "two_level";
  double rows_memory_gb = 1;
  std::string shift = "none";
  bool operator==(const Case&) const = default;
};

TrialSpec trial(const std::string& model, const Case& c) {
  static const Plugins plugins = standard_plugins();
  TrialSpec t;
  t.model.path = t.model.name = model;
  t.model.rows_memory_gb = c.rows_memory_gb;
  t.data.context = t.calibration.context = 32;
  t.data.windows = 3;
  t.calibration.samples = 4;
  QuantizationSpec& q = t.quantization;
  q.method = c.method;
  q.activations.shift = c.shift;
  q.method_options = defaults(plugins.methods, c.method);
  q.weights.quantizer = c.weights;
  q.weights.options = defaults(plugins.weight_quantizers, c.weights);
  q.sequence.transform = c.transform;
  q.sequence.options = defaults(sequence_transforms(), c.transform);
  q.allocation.kind = c.allocation;
  q.allocation.options = defaults(allocators(), c.allocation,
                                  c.allocation == "two_level" ? Json{{"high_tokens", 4}} : Json{{"average_bits", 4.5}});
  return t;
}

Record run(Session& session, TrialSpec spec, bool streamed) {
  spec.model.streamed = streamed;
  const auto log = null_log();
  Progress progress;
  return run_trial(session, {"id", Json::object(), spec}, *log, progress);
}

// What a record says of the trial, without how long and where it ran.
Json said(Record r) {
  r.timing_s.clear();
  r.finished.clear();
  r.peak_memory_bytes = 0;
  r.model.erase("streamed");
  return to_json(r);
}

// The whole sums of every slot: the record summarises rows in bands.
void check_equal(const Record& a, const Record& b) {
  INFO((a.failure ? a.failure->message : "") << (b.failure ? b.failure->message : ""));
  REQUIRE(a.status == "done");
  REQUIRE(b.status == "done");
  CHECK(said(a) == said(b));
  REQUIRE(a.slots.size() == b.slots.size());
  REQUIRE_FALSE(a.slots.empty());
  for (std::size_t i = 0; i < a.slots.size(); ++i) {
    const SlotStatistics &x = a.slots[i].sums, &y = b.slots[i].sums;
    CHECK(a.slots[i].name == b.slots[i].name);
    CHECK(x.error == y.error);
    CHECK(x.row_energy == y.row_energy);
    CHECK(x.samples == y.samples);
  }
}

}  // namespace

TEST_CASE("a streamed trial has every number of the trial in memory") {
  if (!test::open_fixture("llama_tiny_llama3rope")) return;
  const std::vector<Case> cases = {
      {"rtn", "rtn", "haar", "two_level", 1},
      {"smoothquant", "rtn", "haar", "two_level", 1},
      {"quarot", "rtn", "haar", "two_level", 0},
      {"quarot", "gptq", "dct", "two_level", 1},
      {"rtn", "rtn", "klt", "two_level", 0},
      {"smoothquant", "gptq", "klt", "optimal", 1},
      {"rtn", "rtn", "identity", "integer", 1},
      {"quarot", "rtn", "haar_packets", "two_level", 0},
      {"rtn", "gptq", "haar_packets", "integer", 1},
      {"rtn", "rtn", "per_slot", "two_level", 0},
      {"quarot", "rtn", "per_slot", "integer", 1},
      {"quarot", "rtn", "haar", "two_level", 0, "calibrated"},
      {"rtn", "gptq", "klt", "integer", 1, "calibrated"},
      {"rtn", "rtn", "identity", "two_level", 0, "sequence"},
      {"hadanorm", "rtn", "klt", "integer", 1},
  };
  const std::string model = "llama_tiny_llama3rope";
  for (const Case& c : cases) {
    INFO(c.method << ", " << c.weights << ", " << c.transform << ", " << c.allocation << ", " << c.shift);
    Session in_memory(session_options({})), walked(session_options({}));
    const Record expected = run(in_memory, trial(model, c), false);
    const Record got = run(walked, trial(model, c), true);
    check_equal(expected, got);
    CHECK(got.model.value("streamed", false));
    CHECK_FALSE(expected.model.contains("streamed"));
    CHECK(got.transforms.empty() == (c.transform != "per_slot"));
    CHECK(find_metric(got, "perplexity_fp")->value == find_metric(expected, "perplexity_fp")->value);
  }
}

TEST_CASE("other families stream as well") {
  for (const std::string model : {"gemma2_tiny", "qwen3_tiny", "qwen2_tiny_window", "mistral_tiny_window5"}) {
    if (!test::open_fixture(model)) return;
    INFO(model);
    Session in_memory(session_options({})), walked(session_options({}));
    const Case c{"rtn", "rtn", "haar", "two_level", 0};
    check_equal(run(in_memory, trial(model, c), false), run(walked, trial(model, c), true));
  }
}

TEST_CASE("calibration and reference are shared through the cache, whichever way they were measured") {
  if (!test::open_fixture("llama_tiny_llama3rope")) return;
  const Case c{"smoothquant", "rtn", GENERATE(as<std::string>(), "klt", "haar_packets"), "optimal", 1};
  for (const bool first : {true, false}) {
    const test::Scratch scratch;
    Session one(session_options(scratch.path())), other(session_options(scratch.path()));
    const Record measured = run(one, trial("llama_tiny_llama3rope", c), first);
    CHECK(one.counters().references == 1);
    CHECK(one.counters().calibrations == 3);  // channel maxima, bases, row energies
    const Record cached = run(other, trial("llama_tiny_llama3rope", c), !first);
    CHECK(other.counters().references == 0);
    CHECK(other.counters().calibrations == 0);
    check_equal(measured, cached);
  }
}

TEST_CASE("channel means, and energies under the candidates of every slot, are shared through the cache as well") {
  if (!test::open_fixture("llama_tiny_llama3rope")) return;
  const auto [c, measurements] = GENERATE(std::pair(Case{"quarot", "rtn", "haar", "integer", 1, "calibrated"}, 2),
                                          std::pair(Case{"rtn", "rtn", "per_slot", "two_level", 1}, 1));
  for (const bool first : {true, false}) {
    const test::Scratch scratch;
    Session one(session_options(scratch.path())), other(session_options(scratch.path()));
    const Record measured = run(one, trial("llama_tiny_llama3rope", c), first);
    CHECK(one.counters().calibrations == measurements);  // means and row energies; energies under all candidates
    const Record cached = run(other, trial("llama_tiny_llama3rope", c), !first);
    CHECK(other.counters().calibrations == 0);
    check_equal(measured, cached);
  }
}

TEST_CASE("a session mixes streamed trials and trials in memory") {
  if (!test::open_fixture("llama_tiny_llama3rope")) return;
  Session session(session_options({}));
  const Case haar{"quarot", "rtn", "haar", "two_level", 1}, identity{"quarot", "rtn", "identity", "two_level", 1};
  const Record a = run(session, trial("llama_tiny_llama3rope", haar), false);
  const Record b = run(session, trial("llama_tiny_llama3rope", identity), true);
  const Record again = run(session, trial("llama_tiny_llama3rope", haar), false);
  check_equal(a, again);
  CHECK(find_metric(b, "perplexity_fp")->value == find_metric(a, "perplexity_fp")->value);
  CHECK(session.counters().references == 1);
}

TEST_CASE("a scratch folder that cannot take the rows ends the trial with a reason") {
  if (!test::open_fixture("llama_tiny_llama3rope")) return;
  const test::Scratch scratch;
  test::spill(scratch.path() / "scratch", "a file where the folder should be");
  Session session(session_options(scratch.path()));
  const char* old = std::getenv("TMPDIR");
  const std::string kept = old == nullptr ? "" : old;
  unsetenv("TMPDIR");
  const Case c{"rtn", "rtn", "haar", "two_level", 0};
  CHECK_THROWS_AS(run(session, trial("llama_tiny_llama3rope", c), true), StoreError);
  if (old != nullptr) setenv("TMPDIR", kept.c_str(), 1);
}

TEST_CASE("a calibration of another length is refused in the words of the trial in memory") {
  if (!test::open_fixture("llama_tiny_llama3rope")) return;
  Session session(session_options({}));
  TrialSpec spec = trial("llama_tiny_llama3rope", {"rtn", "rtn", "klt", "two_level", 1});
  spec.calibration.context = 16;
  for (const bool streamed : {false, true}) {
    const Record r = run(session, spec, streamed);
    REQUIRE(r.failure);
    CHECK(r.failure->kind == "unsupported");
    CHECK(r.failure->message.find("calibration.context is 16, data.context 32") != std::string::npos);
  }
}

TEST_CASE("bits for all slots together are refused in a streamed trial, whatever the plan knew") {
  if (!test::open_fixture("llama_tiny_llama3rope")) return;
  for (const char* kind : {"budget", "integer_joint"}) {
    Session session(session_options({}));
    const TrialSpec spec = trial("llama_tiny_llama3rope", {"rtn", "rtn", "haar", kind, 1});
    CHECK(run(session, spec, false).status == "done");
    const Record r = run(session, spec, true);
    REQUIRE(r.failure);
    CHECK(r.failure->kind == "unsupported");
    CHECK(r.failure->message.find("model.streamed: false") != std::string::npos);
  }
}

TEST_CASE("the real models stream with the numbers they have in memory", "[real]") {
  const char* files[] = {"SmolLM2-135M-Instruct.Q4_1.gguf", "gemma-3-270m-q4_k_m.gguf"};
  for (const char* file : files) {
    const fs::path path = fs::path(STAMP_SOURCE_DIR) / ".data" / "models" / file;
    if (!fs::exists(path)) {
      WARN("skipped: " << path.string() << " is not there (scripts/setup.sh fetches it)");
      continue;
    }
    try {
      resolve_text("english", "");
    } catch (const DataError&) {
      WARN("skipped: no English text found");
      return;
    }
    SessionOptions options;
    options.plugins = standard_plugins();
    options.gemm = torch_gemm;
    Session in_memory(options), walked(options);
    // Gemma's norms behind attention and feed-forward keep QuaRot out.
    const bool rotates = std::string(file).rfind("SmolLM2", 0) == 0;
    TrialSpec t = trial(path.string(), {rotates ? "quarot" : "rtn", "rtn", "haar", "two_level", 0.0005});
    t.model.name = file;
    t.data.text = "english";
    t.data.context = 96;
    t.data.windows = 2;
    t.quantization.weights.clip_search = false;  // 80 tries on every weight would be most of the time
    const Record expected = run(in_memory, t, false), got = run(walked, t, true);
    check_equal(expected, got);
    CHECK(expected.slots.size() == (rotates ? 180 : 108));
  }
}
