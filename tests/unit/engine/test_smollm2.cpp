// The engine on a real model, when its file is there: short windows, so that it takes seconds.
#include <filesystem>

#include "base/error.h"
#include "data/text.h"
#include "engine/runner.h"
#include "engine/runtime.h"
#include "support/catch.h"

using namespace stamp;

namespace {

const std::string model_path = STAMP_SOURCE_DIR "/.data/models/SmolLM2-135M-Instruct.Q4_1.gguf";

bool available() {
  if (!std::filesystem::exists(model_path)) {
    WARN("skipped: no SmolLM2 at .data/models (scripts/setup.sh fetches it)");
    return false;
  }
  try {
    resolve_text("english", "");
  } catch (const DataError&) {
    WARN("skipped: no English text found");
    return false;
  }
  return true;
}

struct Bench {
  std::unique_ptr<Log> log = null_log();
  Progress progress;
  Session session;
  Bench() : session(options()) {}
  static SessionOptions options() {
    configure_runtime(2);
    SessionOptions o;
    o.plugins = standard_plugins();
    o.gemm = torch_gemm;
    o.threads = 2;
    return o;
  }
  Record operator()(const TrialSpec& t) { return run_trial(session, {"id", Json::object(), t}, *log, progress); }
};

TrialSpec short_trial() {
  TrialSpec t;
  t.model.path = model_path;
  t.model.name = "SmolLM2-135M";
  t.data.text = "english";
  t.data.context = 128;
  t.data.windows = 2;
  t.quantization.weights.bits = 16;
  t.quantization.activations.bits = 16;
  t.quantization.kv_cache.bits = 16;
  t.quantization.allocation.options = {{"high_bits", 8.0}, {"high_tokens", 4}, {"pick", "first"}};
  return t;
}

double value(const Record& r, const std::string& name) {
  INFO((r.failure ? r.failure->message : ""));
  const Metric* m = find_metric(r, name);
  REQUIRE(m);
  return m->value;
}

}  // namespace

TEST_CASE("SmolLM2: exact when nothing is quantized, rotated or not; bounded when it is") {
  if (!available()) return;
  Bench run;
  const Record plain = run(short_trial());
  const double fp = value(plain, "perplexity_fp");
  CHECK(value(plain, "perplexity") == fp);
  CHECK(fp > 10);
  CHECK(fp < 100);

  TrialSpec rotated = short_trial();
  rotated.quantization.method = "quarot";
  rotated.quantization.method_options = {{"rotation", "hadamard"}, {"seed", 0}};
  // Equal in exact arithmetic; float32 products in another basis.
  CHECK(value(run(rotated), "perplexity") == Approx(fp).epsilon(1e-4));

  TrialSpec coarse = short_trial();
  coarse.quantization.activations.bits = 4;
  coarse.quantization.kv_cache.bits = 4;
  coarse.quantization.sequence.transform = "haar";
  const Record haar = run(coarse);
  CHECK(value(haar, "perplexity") > fp);
  CHECK(haar.slots.size() == 180);
  CHECK(value(haar, "slot_bound_violations") == 0);
  CHECK(value(haar, "slot_error_ratio_worst") < 1);
  CHECK(haar.averages["activation_bits"].get<double>() == Approx(4 + 4 * 4 / 128.0));
  CHECK(haar.peak_memory_bytes < 1500000000);
  coarse.quantization.sequence.transform = "identity";
  CHECK(value(haar, "slot_sqnr") > value(run(coarse), "slot_sqnr"));
}
