#include "base/error.h"
#include "fixture.h"
#include "support/catch.h"
#include "sweep/frozen.h"

using namespace stamp;
using namespace stamp::test;

namespace {

FrozenPlan frozen(const Written& e) {
  const Experiment x = e.read();
  return freeze(expand(x, invented_catalog()), *x.schema);
}

}  // namespace

TEST_CASE("a frozen plan comes back as it was, and its trials can be run from it") {
  const Written e(
      "  axes:\n    quantization.method: [rtn, smoothquant]\n    quantization.sequence.transform: [identity, picky]\n",
      "table: {rows: quantization.method, columns: quantization.sequence.transform, average: calibration.seed}\n");
  const FrozenPlan plan = frozen(e);
  REQUIRE(plan.trials.size() == 2);
  const fs::path file = e.scratch().path() / "plan.json";
  write_plan(file, plan);
  const FrozenPlan read = read_plan(file);
  CHECK(to_json(read).dump() == to_json(plan).dump());
  CHECK(read.table.rows == std::vector<std::string>{"quantization.method"});
  CHECK(read.table.average == std::vector<std::string>{"calibration.seed"});
  CHECK(read.excluded.size() == 2);
  const Schema schema(invented_catalog());
  const TrialSpec trial = read.trials[1].trial(schema);
  CHECK(trial_id(trial, schema) == read.trials[1].id);
  CHECK(trial.quantization.method == "smoothquant");
  CHECK(trial.model.path == read.trials[1].model_path);
  CHECK(fs::path(trial.model.path).is_absolute());
}

TEST_CASE("the union rule: new ones are added, vanished ones are kept apart and may come back") {
  FrozenPlan first = frozen(Written("  axes: {quantization.method: [rtn, smoothquant]}\n"));
  FrozenPlan second = frozen(
      Written("  axes:\n    quantization.method: [rtn]\n    quantization.sequence.transform: [identity, haar]\n"));
  const std::vector<std::string> said = unite(second, first);
  REQUIRE(second.vanished.size() == 1);
  CHECK(second.vanished[0].id == first.trials[1].id);
  REQUIRE(said.size() == 2);
  CHECK(said[0].find("1 trials added, 1 no longer in it") != std::string::npos);
  CHECK(said[1].find("smoothquant") != std::string::npos);

  FrozenPlan third = frozen(Written("  axes: {quantization.method: [rtn, smoothquant]}\n"));
  unite(third, second);
  REQUIRE(third.vanished.size() == 1);  // the identity trial of the second
  CHECK(third.find(first.trials[1].id) != nullptr);
  FrozenPlan same = frozen(Written("  axes: {quantization.method: [rtn, smoothquant]}\n"));
  CHECK(unite(same, first).empty());
}

TEST_CASE("a plan that is missing, damaged or of another schema is told apart") {
  const Scratch dir;
  const auto message = [&](const fs::path& path) {
    try {
      read_plan(path);
    } catch (const DataError& e) {
      return std::string(e.what());
    }
    return std::string("read");
  };
  CHECK(message(dir.path() / "plan.json").find("is not a run folder") != std::string::npos);
  CHECK(message(dir.path() / "no" / "plan.json").find("no such run folder") != std::string::npos);
  spill(dir.path() / "plan.json", "{");
  CHECK(message(dir.path() / "plan.json").find("damaged") != std::string::npos);
  spill(dir.path() / "plan.json", "{\"schema\": 7}");
  CHECK(message(dir.path() / "plan.json").find("schema 7") != std::string::npos);
  spill(dir.path() / "plan.json", "{\"schema\": 1, \"name\": \"x\", \"trials\": 3}");
  CHECK(message(dir.path() / "plan.json").find("not a plan") != std::string::npos);
}
