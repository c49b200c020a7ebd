#include "fixture.h"
#include "support/catch.h"
#include "sweep/estimate.h"

using namespace stamp;
using namespace stamp::test;

namespace {

// Round numbers, so that a sum can be checked by hand.
MachineSpeed round_speed() {
  MachineSpeed s;
  s.linear = {{64, 1e9}};
  s.double_product = 1e9;
  s.attention = 1e9;
  s.row_work = s.gate = s.exponential = s.hadamard = 1e-9;
  s.quantizer = {{"identity", 2e-9}, {"haar", 5e-9}};
  s.statistics = 3e-9;
  s.clip_search = 1e-7;
  s.rounding = 1e-8;
  s.load = s.pack = 1e-9;
  s.eigen = 1e-9;
  s.program_bytes = 1e8;
  return s;
}

ModelShape small_shape() {
  ModelShape m;
  m.layers = 2;
  m.hidden = 32;
  m.feed_forward = 80;
  m.heads = 4;
  m.kv_heads = 2;
  m.head_dim = 8;
  m.vocabulary = 100;
  return m;
}

ModelShape llama_3_8b() {
  ModelShape m;
  m.layers = 32;
  m.hidden = 4096;
  m.feed_forward = 14336;
  m.heads = 32;
  m.kv_heads = 8;
  m.head_dim = 128;
  m.vocabulary = 128256;
  return m;
}

Machine machine() {
  Machine m;
  m.speed = round_speed();
  m.measured = true;
  m.available_bytes = 16e9;
  return m;
}

double part(const Parts& parts, const std::string& name) {
  for (const auto& [n, value] : parts)
    if (n == name) return value;
  return -1;
}

const SizeOf small = [](const TrialSpec&) { return TrialSize{small_shape(), 0, 0}; };
const SizeOf large = [](const TrialSpec&) { return TrialSize{llama_3_8b(), 0, 0}; };

TrialSpec only_trial(const Plan& plan) {
  return plan.trials.at(0).spec;
}

}  // namespace

TEST_CASE("a pass is its products, its attention, its rows and its quantized values") {
  const Plan plan = Written("  axes: {quantization.method: [rtn]}\n").expand();
  const TrialSpec spec = only_trial(plan);
  const ModelShape m = small_shape();
  CHECK(m.block_weights() == 32 * (32 + 32) + 32 * 32 + 3 * 32 * 80);
  TrialWork work;
  work.items = 2;
  const Parts parts = trial_seconds(spec, invented_catalog(), m, work, round_speed());
  const double n = 64, weights = 2 * m.block_weights() + 100 * 32;
  const double products = 2 * n * weights / 1e9;
  const double attention = 2 * 4 * 32 * (n * (n + 1) / 2) / 1e9;
  const double rows = 2 * n * (4 * 32 + 32 + 16 + 80) * 1e-9;
  const double losses = n * 100 * 1e-9;
  // Four inputs of linear layers (32, 32, 32, 80) and two caches of 16, Haar with statistics.
  const double quantized = 2 * n * (176 + 32) * (5e-9 + 3e-9);
  CHECK(part(parts, "run") == Approx(2 * (products + attention + rows + losses + quantized)));
  CHECK(part(parts, "reference") == Approx(2 * (products + attention + rows + losses) + weights * 2e-9));
  CHECK(part(parts, "prepare") == Approx(weights * 2e-9 + 2 * m.block_weights() * 1e-7));
  CHECK(part(parts, "calibrate") == -1);
}

TEST_CASE("sliding windows see fewer keys, untransformed caches need no transform, 16 bits need nothing") {
  TrialSpec spec = only_trial(Written("  axes: {quantization.method: [rtn]}\n").expand());
  ModelShape m = small_shape();
  TrialWork work;
  const auto run = [&] { return part(trial_seconds(spec, invented_catalog(), m, work, round_speed()), "run"); };
  const double before = run();
  m.sliding_layers = 2;
  m.sliding_window = 16;
  const double windowed = run();
  CHECK(before - windowed == Approx(2 * 4 * 32 * (64 * 65 / 2 - (16 * 17 / 2 + 48 * 16)) / 1e9));
  spec.quantization.kv_cache.transformed = false;
  const double plain_cache = run();
  CHECK(windowed - plain_cache == Approx(2 * 64 * 32 * 3e-9));
  spec.quantization.kv_cache.bits = 16;
  CHECK(plain_cache - run() == Approx(2 * 64 * 32 * (2e-9 + 3e-9)));
  spec.evaluate = {"perplexity"};
  spec.quantization.activations.bits = 16;
  CHECK(run() == Approx(windowed - 2 * 64 * (176 + 32) * 8e-9));
}

TEST_CASE("what trials share is counted once, a streamed network is prepared every time") {
  const Plan plan = Written(
                        "  axes:\n    quantization.method: [rtn, smoothquant]\n    quantization.sequence.transform: "
                        "[identity, haar]\n")
                        .expand();
  const Estimate e = estimate(plan, {}, small, invented_catalog(), machine());
  REQUIRE(e.trials.size() == 4);
  CHECK(part(e.trials[0].seconds, "reference") > 0);
  CHECK(part(e.trials[0].seconds, "prepare") > 0);
  CHECK(part(e.trials[1].seconds, "reference") == -1);
  CHECK(part(e.trials[1].seconds, "prepare") == -1);
  CHECK(part(e.trials[2].seconds, "calibrate") > 0);  // smoothquant's channel maxima
  CHECK(part(e.trials[3].seconds, "calibrate") == -1);
  CHECK(e.seconds == Approx(sum(e.parts())));

  const Estimate streamed = estimate(plan, {}, large, invented_catalog(), machine());
  REQUIRE(streamed.trials.size() == 4);
  for (const TrialEstimate& t : streamed.trials) {
    CHECK(t.streamed);
    CHECK(part(t.seconds, "prepare") > 0);
  }
  CHECK(part(streamed.trials[1].seconds, "reference") == -1);
  CHECK(part(streamed.trials[3].seconds, "calibrate") == -1);
}

TEST_CASE("memory is counted from the structure: all weights, or one block and the rows") {
  TrialSpec spec = only_trial(Written("  axes: {quantization.method: [rtn]}\n").expand());
  spec.data.context = 2048;
  const ModelShape m = llama_3_8b();
  const Parts whole = trial_memory(spec, invented_catalog(), m, 1, false, 1e8);
  CHECK(part(whole, "weights") == Approx(4 * (32 * 218103808.0 + 128256 * 4096.0)));
  const Parts streamed = trial_memory(spec, invented_catalog(), m, 1, true, 1e8);
  CHECK(part(streamed, "one block") == Approx(872415232));
  CHECK(part(streamed, "hidden rows") == Approx(2 * 2048 * 4096 * 4.0));
  CHECK(sum(streamed) < 4e9);
  // QuaRot: two dense rotations of 4096 and one of a head's 128, and down_proj in double twice.
  TrialSpec quarot = spec;
  quarot.quantization.method = "quarot";
  const Parts rotated = trial_memory(quarot, invented_catalog(), m, 1, true, 1e8);
  CHECK(part(rotated, "rotations") == Approx(8 * (2 * 4096.0 * 4096 + 128 * 128)));
  CHECK(part(rotated, "weights turning") == Approx(16 * 4096.0 * 14336));
  // 141 windows: 4.7 GB twice, of which the budget keeps a gigabyte and a window in memory.
  CHECK(part(trial_memory(spec, invented_catalog(), m, 141, true, 1e8), "hidden rows") ==
        Approx(1e9 + 2048 * 4096 * 4.0 + 2048 * 4096 * 4.0));
}

TEST_CASE("transforms that slots choose cost a pass of their candidates, and the slowest one at run time") {
  Catalog catalog = invented_catalog();
  PluginInfo chooses = plugin("per_slot");
  chooses.needs_calibration = true;
  catalog.add(PluginKind::sequence_transform, chooses);
  TrialSpec spec = only_trial(Written("  axes: {quantization.method: [rtn]}\n").expand());
  spec.calibration.context = 64;
  spec.calibration.samples = 3;
  TrialWork work;
  const ModelShape m = small_shape();
  const auto seconds = [&](const char* phase) {
    return part(trial_seconds(spec, catalog, m, work, round_speed()), phase);
  };
  const double haar = seconds("run");
  work.energies = true;
  const double energies = seconds("calibrate");  // of Haar at every slot
  spec.quantization.sequence.transform = "per_slot";
  spec.quantization.sequence.options = {{"candidates", {"identity", "haar/1", "haar/4"}}};
  CHECK(seconds("run") == Approx(haar));
  work.bases = true;  // the bits need no further pass
  const double values = 2 * 64 * (176 + 32);
  CHECK(seconds("calibrate") == Approx(energies + 3 * values * ((5e-9 + 3e-9) + (2e-9 + 3e-9))));
  CHECK(part(trial_memory(spec, catalog, m, 1, false, 1e8), "row energies") == Approx(16.0 * 64 * 3 * 6 * 2));
  // Of 64 tokens: identity, six levels, cosines, which take as long as the slowest known.
  spec.quantization.sequence.options = {{"candidates", nullptr}};
  CHECK(seconds("calibrate") == Approx(energies + 3 * values * (6 * (5e-9 + 3e-9) + (2e-9 + 3e-9))));
  CHECK(part(trial_memory(spec, catalog, m, 1, false, 1e8), "bases") == -1);
}

TEST_CASE("a model streams when asked to, or when its weights take more than two thirds of the memory") {
  ModelSpec model;
  CHECK_FALSE(runs_streamed(model, small_shape(), 16e9));
  CHECK(runs_streamed(model, llama_3_8b(), 16e9));
  CHECK_FALSE(runs_streamed(model, llama_3_8b(), 64e9));
  CHECK_FALSE(runs_streamed(model, llama_3_8b(), 0));
  CHECK_FALSE(runs_streamed(model, ModelShape(), 16e9));
  model.streamed = true;
  CHECK(runs_streamed(model, small_shape(), 16e9));
  model.streamed = false;
  CHECK_FALSE(runs_streamed(model, llama_3_8b(), 16e9));
}

TEST_CASE("finished trials of the model correct the prediction phase by phase, and say how large it was") {
  Plan plan = Written("  axes: {quantization.sequence.transform: [identity, haar]}\n").expand();
  REQUIRE(plan.trials.size() == 2);
  const Estimate rough = estimate(plan, {}, small, invented_catalog(), machine());
  CHECK(rough.scaled == 0);
  ReadRecords records;
  Record r;
  r.id = plan.trials[0].id;
  r.status = "done";
  r.spec = plan.trials[0].canonical;
  Metric m;
  m.name = "perplexity";
  m.over = "windows";
  m.n = 2;
  r.metrics = {m};
  // Three times slower than predicted; the reference lies in the cache now.
  r.timing_s = {{"run", 3 * part(rough.trials[0].seconds, "run")}, {"reference", 0.0}};
  r.peak_memory_bytes = 123456;
  records.records = {r};
  set_states(plan, records, {});
  const Estimate e = estimate(plan, records, small, invented_catalog(), machine());
  REQUIRE(e.trials.size() == 1);
  CHECK(e.scaled == 1);
  CHECK(part(e.trials[0].seconds, "run") == Approx(3 * part(rough.trials[1].seconds, "run")));
  CHECK(part(e.trials[0].seconds, "reference") == -1);
  CHECK(e.memory_bytes == 123456);
  CHECK(estimate(plan, records, {}, invented_catalog(), machine()).unknown == 1);
}

TEST_CASE("a recorded sweep: its first trials predict the others within a quarter") {
  // results/quickstart: SmolLM2-135M, four windows of 2048 tokens, 2 cores; seconds by phase as recorded.
  Catalog catalog = invented_catalog();
  catalog.add(PluginKind::method, plugin("quarot"));
  catalog.add(PluginKind::sequence_transform, plugin("dct"));
  struct Recorded {
    const char *method, *transform;
    std::map<std::string, double> seconds;
  };
  const std::vector<Recorded> recorded = {
      {"rtn", "identity", {{"load", 0.17}, {"prepare", 1.51}, {"reference", 14.31}, {"run", 14.09}}},
      {"rtn", "haar", {{"run", 14.31}}},
      {"rtn", "dct", {{"run", 17.95}}},
      {"smoothquant", "identity", {{"calibrate", 14.19}, {"load", 0.06}, {"prepare", 1.6}, {"run", 14.0}}},
      {"smoothquant", "haar", {{"run", 14.38}}},
      {"smoothquant", "dct", {{"run", 18.01}}},
      {"quarot", "identity", {{"prepare", 4.41}, {"run", 14.34}}},
      {"quarot", "haar", {{"run", 14.5}}},
      {"quarot", "dct", {{"run", 18.65}}},
  };
  ModelShape smollm2;
  smollm2.layers = 30;
  smollm2.hidden = 576;
  smollm2.feed_forward = 1536;
  smollm2.heads = 9;
  smollm2.kv_heads = 3;
  smollm2.head_dim = 64;
  smollm2.vocabulary = 49152;
  Plan plan;
  for (const Recorded& r : recorded) {
    PlannedTrial t;
    t.spec.model.name = "SmolLM2-135M";
    t.spec.data.windows = t.spec.calibration.samples = 4;
    t.spec.quantization.method = r.method;
    t.spec.quantization.sequence.transform = r.transform;
    t.canonical = canonical(t.spec, catalog);
    t.id = trial_id(t.spec, catalog);
    plan.trials.push_back(std::move(t));
  }
  const SizeOf size = [&](const TrialSpec&) { return TrialSize{smollm2, 0, 0}; };
  Machine two_cores;
  two_cores.speed = assumed_speed();
  two_cores.available_bytes = 16e9;
  ReadRecords records;
  double left = 0;
  for (std::size_t i = 0; i < recorded.size(); ++i) {
    if (i >= 3) {
      for (const auto& [phase, s] : recorded[i].seconds) left += s;
      continue;
    }
    Record r;
    r.id = plan.trials[i].id;
    r.status = "done";
    r.spec = plan.trials[i].canonical;
    Metric m;
    m.name = "perplexity";
    m.over = "windows";
    m.n = 4;
    r.metrics = {m};
    r.timing_s = recorded[i].seconds;
    r.peak_memory_bytes = 1340174336;
    records.records.push_back(std::move(r));
  }
  set_states(plan, records, {});
  const Estimate e = estimate(plan, records, size, catalog, two_cores);
  REQUIRE(e.trials.size() == 6);
  CHECK(e.scaled == 6);
  CHECK(e.seconds == Approx(left).epsilon(0.25));
  CHECK(e.memory_bytes == Approx(1353089024).epsilon(0.25));
}

TEST_CASE("speeds come back as they were written, and half a file is none") {
  const MachineSpeed speed = round_speed();
  const MachineSpeed read = machine_speed_from_json(to_json(speed));
  CHECK(read.known());
  CHECK(to_json(read) == to_json(speed));
  for (const char* missing : {"linear", "attention", "quantizer", "threads", "version"}) {
    Json j = to_json(speed);
    j.erase(missing);
    INFO(missing);
    CHECK_FALSE(machine_speed_from_json(j).known());
  }
  Json zero = to_json(speed);
  zero["load"] = 0;
  CHECK_FALSE(machine_speed_from_json(zero).known());
  CHECK_FALSE(machine_speed_from_json(Json()).known());
  CHECK(assumed_speed().known());
  CHECK(machine_speed_from_json(to_json(assumed_speed())).known());
}

TEST_CASE("speeds between measured widths are interpolated, outside the nearest counts") {
  MachineSpeed speed;
  speed.linear = {{100, 10}, {400, 30}};
  CHECK(speed.linear_at(50) == 10);
  CHECK(speed.linear_at(200) == Approx(20));
  CHECK(speed.linear_at(1000) == 30);
}

TEST_CASE("the plan reads like a sentence") {
  Plan plan = Written(
                  "  axes:\n    quantization.method: [rtn, smoothquant]\n    quantization.sequence.transform: "
                  "[identity, haar, picky]\n"
                  "  exclude: [{when: {quantization.method: smoothquant, quantization.sequence.transform: haar}, "
                  "because: \"not in the paper's table\"}]\n")
                  .expand();
  ReadRecords records;
  Record r;
  r.id = plan.trials[0].id;
  r.status = "done";
  records.records = {r};
  set_states(plan, records, {});
  Estimate e;
  e.seconds = 540;
  e.memory_bytes = 1.4e9;
  CHECK(plan_sentence(plan, shared_work(plan, invented_catalog()), e) ==
        "3 trials: 2 new, 1 done; 1 excluded (\"not in the paper's table\"); 2 refused (\"it needs an even number of "
        "tokens, not 63\"); "
        "1 model, 1 calibration; about 9 min, 1.4 GB");
}
