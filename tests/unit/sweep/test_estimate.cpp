#include "fixture.h"
#include "support/catch.h"
#include "sweep/estimate.h"

using namespace stamp;
using namespace stamp::test;

TEST_CASE("without records the estimate is arithmetic, with them it is measured") {
  Plan plan = Written("  axes: {quantization.method: [rtn, smoothquant]}\n").expand();
  const SizeOf size = [](const TrialSpec&) { return TrialSize{1e6, 1000, 0}; };
  const Estimate rough = estimate(plan, {}, size, 1e9);
  // 2 * 1e6 parameters * 128 tokens / 1e9 = 0.256 s a pass; two trials at 1.3 passes and one reference. Two methods
  // prepare weights, each with a clip search of 80 tries at 30 operations.
  CHECK(rough.seconds == Approx(0.256 * (1 + 2 * 1.3) + 2 * 80 * 30 * 1e6 / 1e9));
  CHECK_FALSE(rough.measured);
  CHECK(rough.memory_bytes > 4e6);
  CHECK(estimate(plan, {}, {}, 1e9).unknown == 2);

  ReadRecords records;
  Record r;
  r.id = "other";
  r.status = "done";
  r.spec = {{"model", {{"name", "m"}}}, {"data", {{"context", 64}}}};
  Metric m;
  m.name = "perplexity";
  m.over = "windows";
  m.n = 4;
  r.metrics = {m};
  r.timing_s = {{"load", 1.0}, {"evaluate", 3.0}};
  r.peak_memory_bytes = 123456;
  records.records = {r};
  const Estimate measured = estimate(plan, records, size, 1e9);
  CHECK(measured.measured);
  CHECK(measured.seconds == Approx(2 * 4.0 / 256 * 128));
  records.records[0].timing_s["prepare"] = 5;  // once for each method, whatever the number of tokens
  CHECK(estimate(plan, records, size, 1e9).seconds == Approx(2 * 4.0 / 256 * 128 + 2 * 5));
  CHECK(measured.memory_bytes == 123456);
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
