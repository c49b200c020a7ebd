#include <limits>

#include "base/error.h"
#include "fixture.h"
#include "report/check.h"
#include "report/reference.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace stamp;
using namespace stamp::test;

namespace {

std::string fault(const std::string& text, bool paper) {
  const Scratch dir;
  spill(dir.path() / "f.yaml", text);
  try {
    if (paper)
      read_paper(dir.path() / "f.yaml");
    else
      read_expectations(dir.path() / "f.yaml");
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "accepted";
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

Expectation expect(double value, double relative) {
  Expectation e;
  e.id = "e";
  e.when = {{"quantization.method", "rtn"}};
  e.metric = "perplexity";
  e.value = value;
  e.relative = relative;
  e.source = "s";
  return e;
}

}  // namespace

TEST_CASE("paper files are strict, with places and nearest names") {
  CHECK(has(fault("schema: 1\nentrys: []\n", true), "f.yaml:2:1"));
  CHECK(has(fault("schema: 1\nentrys: []\n", true), "did you mean \"entries\""));
  CHECK(has(fault("schema: 2\nentries: []\n", true), "schema 2"));
  const std::string text = fault(
      "schema: 1\nentries:\n  - {id: a, source: s, protocol: p, values: [{when: {x: 1}, metric: m, value: \"4\"}]}\n  "
      "- {id: a}\n",
      true);
  for (const char* part : {"should be a number", "source is missing", "the id is used twice"}) CHECK(has(text, part));
}

TEST_CASE("expectations need exactly one tolerance, which is not negative") {
  const auto with = [](const std::string& tolerance) {
    return "schema: 1\nexpectations:\n  - {id: a, when: {x: 1}, metric: m, value: 4, tolerance: " + tolerance +
           ", source: s}\n";
  };
  CHECK(fault(with("{relative: 0.1}"), false) == "accepted");
  CHECK(has(fault(with("{}"), false), "needs one of"));
  CHECK(has(fault(with("{relative: 0.1, absolute: 1}"), false), "needs one of"));
  CHECK(has(fault(with("{relative: -1}"), false), "negative"));
  CHECK(has(fault(with("3"), false), "should be a map"));
}

TEST_CASE("an unknown paper entry is refused with the nearest") {
  const Scratch dir;
  spill(dir.path() / "t.yaml", "schema: 1\nentries:\n  - {id: t.llama, source: s, protocol: p, values: []}\n");
  CHECK(find_paper(dir.path(), "t.llama").source == "s");
  try {
    find_paper(dir.path(), "t.lama");
    FAIL("accepted");
  } catch (const ConfigError& e) {
    CHECK(has(e.what(), "did you mean \"t.llama\""));
  }
}

TEST_CASE("check: holds at the edge, misses beyond it, all matching trials have to hold") {
  ReportSource s = grid_source();
  s.trials.resize(1);
  s.trials[0].record->metrics[0].value = 110;
  const auto state = [&](const Expectation& e) { return check(s, {e})[0].state; };
  CHECK(state(expect(100, 0.1)) == Verdict::State::holds);
  CHECK(state(expect(100, 0.0999)) == Verdict::State::misses);
  Expectation absolute = expect(100, 0);
  absolute.relative.reset();
  absolute.absolute = 10;
  CHECK(state(absolute) == Verdict::State::holds);
  CHECK(state(expect(0, 1000)) == Verdict::State::misses);  // nothing is relatively near to zero
  s.trials[0].record->metrics[0].value = std::numeric_limits<double>::quiet_NaN();
  CHECK(state(expect(100, 10)) == Verdict::State::misses);

  ReportSource both = grid_source();
  const std::vector<Expectation> list{expect(668, 0.5)};
  const Verdict v = check(both, list)[0];  // rtn: 668 and 95
  CHECK(v.trials == 2);
  CHECK(v.state == Verdict::State::misses);
  CHECK(v.trial == "a2");
}

TEST_CASE("check: untested says why") {
  ReportSource s = grid_source();
  s.trials.resize(1);
  const auto reason = [&](Expectation e) {
    const std::vector<Expectation> list{std::move(e)};
    const Verdict v = check(s, list)[0];
    CHECK(v.state == Verdict::State::untested);
    CHECK_FALSE(any_miss({v}));
    return v.reason;
  };
  Expectation other = expect(1, 1);
  other.when = {{"quantization.method", "gptq"}};
  CHECK(reason(other) == "no trial matches");
  other = expect(1, 1);
  other.metric = "accuracy";
  CHECK(reason(other) == "no metric accuracy");
  other.metric = "perplexty";
  CHECK(reason(other) == "no metric perplexty (did you mean \"perplexity\"?)");
  s.trials[0].record->status = "failed";
  s.trials[0].record->failure = Failure{"nan_metric", "", ""};
  CHECK(reason(expect(1, 1)) == "the trial failed (nan_metric)");
  s.trials[0].record.reset();
  CHECK(reason(expect(1, 1)) == "not run yet");
}
