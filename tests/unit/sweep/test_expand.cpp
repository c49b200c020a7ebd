#include <set>

#include "base/error.h"
#include "fixture.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::test;

namespace {

const char* const method = "quantization.method";
const char* const transform = "quantization.sequence.transform";

std::string place(const PlannedTrial& t, std::size_t i = 0) {
  return t.labels[i].value(method, "") + "/" + t.labels[i].value(transform, "");
}

std::vector<std::string> places(const Plan& plan) {
  std::vector<std::string> out;
  for (const PlannedTrial& t : plan.trials) out.push_back(place(t));
  return out;
}

}  // namespace

TEST_CASE("axes make a product, the last fastest, and equal methods stay together") {
  const Plan plan = Written(
                        "  axes:\n    quantization.method: [rtn, smoothquant]\n    quantization.sequence.transform: "
                        "[identity, haar]\n")
                        .expand();
  CHECK(places(plan) ==
        std::vector<std::string>{"rtn/identity", "rtn/haar", "smoothquant/identity", "smoothquant/haar"});
  std::set<std::string> ids;
  for (const PlannedTrial& t : plan.trials) ids.insert(t.id);
  CHECK(ids.size() == 4);
  // Turned around, the order of cost still puts a method's trials together.
  const Plan turned = Written(
                          "  axes:\n    quantization.sequence.transform: [identity, haar]\n    quantization.method: "
                          "[rtn, smoothquant]\n")
                          .expand();
  CHECK(places(turned) ==
        std::vector<std::string>{"rtn/identity", "rtn/haar", "smoothquant/identity", "smoothquant/haar"});
  CHECK(turned.trials[1].id == plan.trials[1].id);
}

TEST_CASE("zip groups walk together, cells are extra, repeats multiply") {
  const Plan zip = Written(
                       "  zip:\n    - quantization.method: [rtn, smoothquant]\n      quantization.sequence.transform: "
                       "[identity, haar]\n")
                       .expand();
  CHECK(places(zip) == std::vector<std::string>{"rtn/identity", "smoothquant/haar"});
  const Plan cells =
      Written("  axes: {quantization.method: [rtn]}\n  cells: [{quantization.sequence.transform: identity}]\n")
          .expand();
  CHECK(cells.trials.size() == 2);
  const Plan repeats = Written("  axes: {quantization.method: [rtn, smoothquant]}\n  repeats: 3\n").expand();
  REQUIRE(repeats.trials.size() == 6);
  CHECK(repeats.trials[1].labels[0]["repeat"] == 1);
  CHECK(repeats.trials[1].spec.repeat == 1);
}

TEST_CASE("no sweep is one trial") {
  CHECK(Written("  repeats: 1\n").expand().trials.size() == 1);
}

TEST_CASE("cells that differ only in what cannot matter are one trial in several places") {
  const Plan plan =
      Written(
          "  axes:\n    quantization.sequence.transform: [identity, haar]\n    quantization.sequence.levels: [2, 3]\n")
          .expand();
  CHECK(plan.trials.size() == 3);
  CHECK(plan.merged == 1);
  REQUIRE(plan.trials[0].labels.size() == 2);
  CHECK(plan.trials[0].labels[0]["quantization.sequence.levels"] == 2);
  CHECK(plan.trials[0].labels[1]["quantization.sequence.levels"] == 3);
}

TEST_CASE("exclusions say why and where; one that covers nothing is said") {
  const Plan plan = Written(
                        "  axes: {quantization.method: [rtn, smoothquant]}\n  exclude:\n    - {when: "
                        "{quantization.method: rtn}, because: \"too slow\"}\n"
                        "    - {when: {quantization.sequence.transform: picky}, because: \"never\"}\n")
                        .expand();
  REQUIRE(plan.excluded.size() == 1);
  CHECK(plan.excluded[0].because == "too slow");
  CHECK_FALSE(plan.excluded[0].refused);
  CHECK(plan.excluded[0].by.find("e.yaml:8") != std::string::npos);
  CHECK(plan.trials.size() == 1);
  REQUIRE_FALSE(plan.warnings.empty());
  CHECK(plan.warnings.back().find("\"never\"") != std::string::npos);
}

TEST_CASE("a combination that a plugin refuses becomes an explained exclusion") {
  const std::string sweep = "  axes: {quantization.sequence.transform: [identity, picky]}\n";
  const Plan odd = Written(sweep).expand();  // 63 rows: skip_first is 1
  REQUIRE(odd.excluded.size() == 1);
  CHECK(odd.excluded[0].refused);
  CHECK(odd.excluded[0].because == "it needs an even number of tokens, not 63");
  CHECK(odd.excluded[0].by == "sequence transform picky");
  CHECK(Written(sweep, "quantization: {sequence: {skip_first: 0}}\n").expand().excluded.empty());
  const Plan much = Written("  axes: {quantization.allocation.high_tokens: [8, 65]}\n",
                            "quantization: {sequence: {transform: identity}}\n")
                        .expand();
  REQUIRE(much.excluded.size() == 1);
  CHECK(much.excluded[0].because == "high_tokens exceeds the context");
  // In full precision neither is asked.
  CHECK(Written(sweep, "quantization: {activations: {bits: 16}, kv_cache: {bits: 16}}\n").expand().excluded.empty());
}

TEST_CASE("bits for all slots together are refused where the model is walked through from its file") {
  Catalog catalog = test::invented_catalog();
  PluginInfo together = test::plugin("together");
  together.reads = "slots";
  catalog.add(PluginKind::allocator, together);
  const Schema schema(catalog);
  TrialSpec spec;
  spec.data.context = 64;
  spec.quantization.allocation = {"together", Json::object()};
  CHECK_FALSE(refusal(spec, schema));
  spec.model.streamed = true;
  const auto no = refusal(spec, schema);
  REQUIRE(no);
  CHECK(no->by == "allocator together");
  CHECK(no->because.find("all slots") != std::string::npos);
  spec.quantization.allocation = {"two_level", Json::object()};
  CHECK_FALSE(refusal(spec, schema));
}

TEST_CASE("a prompt that fills the window leaves nothing to decode") {
  const std::string sweep = "  axes: {decode.prefill: [32, 63, 64]}\n";
  const Plan plan = Written(sweep, "evaluate: [decode_perplexity]\n").expand();
  CHECK(plan.trials.size() == 2);
  REQUIRE(plan.excluded.size() == 1);
  CHECK(plan.excluded[0].because == "decode.prefill is 64 and a window has 64 tokens: none is left to decode");
  CHECK(Written(sweep, "evaluate: [perplexity]\n").expand().excluded.empty());
  ExpandOptions smoke;
  smoke.smoke = true;
  const Plan tried = Written("", "evaluate: [decode_perplexity]\n").expand(smoke);
  CHECK(tried.excluded.empty());
  CHECK(tried.trials.at(0).spec.decode.prefill == 32);
}

TEST_CASE("too many combinations are refused before they are made") {
  std::string sweep = "  axes:\n";
  for (const char* axis :
       {"calibration.seed", "data.windows", "calibration.samples", "quantization.allocation.high_tokens"}) {
    sweep += std::string("    ") + axis + ": [1";
    for (int i = 2; i <= 40; ++i) sweep += ", " + std::to_string(i);
    sweep += "]\n";
  }
  CHECK_THROWS_AS(Written(sweep).expand(), ConfigError);
}

TEST_CASE("smoke: short, few, and the first trial of every method") {
  ExpandOptions smoke;
  smoke.smoke = true;
  const Written e(
      "  axes:\n    quantization.method: [rtn, smoothquant]\n    quantization.sequence.transform: [identity, haar]\n",
      "calibration: {samples: 16}\n");
  const Plan plan = e.expand(smoke);
  CHECK(places(plan) == std::vector<std::string>{"rtn/identity", "smoothquant/identity"});
  CHECK(plan.trials[0].spec.data.windows == 1);
  CHECK(plan.trials[0].spec.data.context == 64);  // already short
  CHECK(plan.trials[1].spec.calibration.samples == 2);
  CHECK(plan.trials[0].id != e.expand().trials[0].id);
}

TEST_CASE("a trial is the text it reads, not the name that stood for it") {
  const Written e("  axes: {quantization.method: [rtn]}\n", "");
  ExpandOptions here, elsewhere;
  here.resolve_text = [](const std::string& text) {
    return text == "wikitext2-test" ? std::string("wikitext2-train") : text;
  };
  elsewhere.resolve_text = [](const std::string& text) { return text; };
  CHECK(e.expand(here).trials[0].spec.data.text == "wikitext2-train");
  CHECK(e.expand(here).trials[0].id != e.expand(elsewhere).trials[0].id);
  CHECK(e.expand(elsewhere).trials[0].id == e.expand().trials[0].id);
}

TEST_CASE("a finished trial whose files changed is new again, with the reason") {
  Plan plan = Written("  axes: {quantization.method: [rtn]}\n").expand();
  ReadRecords records;
  Record r;
  r.id = plan.trials[0].id;
  r.status = "done";
  r.model = {{"digest", "old"}};
  records.records = {r};
  const MissingCheck none = [](const TrialSpec&) { return std::string(); };
  set_states(plan, records, none, [](const TrialSpec&, const Record& record) {
    return record.model["digest"] == "old" ? std::string("changed") : std::string();
  });
  CHECK(plan.trials[0].state == TrialState::fresh);
  CHECK(plan.trials[0].reason == "changed");
  set_states(plan, records, none);
  CHECK(plan.trials[0].state == TrialState::done);
  CHECK(plan.trials[0].reason.empty());
}

TEST_CASE("states come from the newest records, missing wins over failed, done over missing") {
  Plan plan = Written("  axes: {quantization.method: [rtn, smoothquant]}\n").expand();
  ReadRecords records;
  Record r;
  r.id = plan.trials[0].id;
  r.status = "failed";
  r.failure = Failure{"nan_metric", "nan", "evaluate"};
  records.records = {r};
  set_states(plan, records, [](const TrialSpec&) { return std::string(); });
  CHECK(plan.trials[0].state == TrialState::failed);
  CHECK(plan.trials[0].reason == "nan_metric: nan");
  CHECK(plan.trials[1].state == TrialState::fresh);
  const MissingCheck gone = [](const TrialSpec&) { return std::string("gone"); };
  set_states(plan, records, gone);
  CHECK(plan.trials[0].state == TrialState::missing);
  CHECK(plan.trials[0].reason == "gone");
  records.records[0].status = "done";
  set_states(plan, records, gone);
  CHECK(plan.trials[0].state == TrialState::done);
}

TEST_CASE("--only selects; alternatives on one path, all of several paths") {
  const Experiment e = Written(
                           "  axes:\n    quantization.method: [rtn, smoothquant]\n    quantization.sequence.transform: "
                           "[identity, haar]\n")
                           .read();
  const Plan plan = expand(e, invented_catalog());
  const auto selected = [&](const std::string& expression) {
    const Selection only(expression, *e.schema);
    std::size_t n = 0;
    for (const PlannedTrial& t : plan.trials) n += only.covers(t.spec, *e.schema);
    return n;
  };
  CHECK(selected("quantization.method=rtn") == 2);
  CHECK(selected("quantization.method=rtn, quantization.sequence.transform=haar") == 1);
  CHECK(selected("quantization.method=rtn,quantization.method=smoothquant") == 4);
  CHECK(selected("data.windows=2") == 4);
  CHECK_THROWS_AS(selected("quantization.methd=rtn"), ConfigError);
  CHECK_THROWS_AS(selected("quantization.method=rtm"), ConfigError);
  CHECK_THROWS_AS(selected("rtn"), ConfigError);
}
