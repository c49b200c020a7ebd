// An option of a plugin that is a list of names: in files, in ids, and back from a canonical trial.
#include "base/option_info.h"
#include "fixture.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::testing;

namespace {

const Catalog& several() {
  static const Catalog c = [] {
    Catalog all = fake_catalog();
    all.add(PluginKind::sequence_transform,
            plugin("several", {option::names("parts", {"none", "half", "half/1", "half/2", "all"}, "which parts")}));
    return all;
  }();
  return c;
}

Experiment read_several(const std::string& sequence, const std::string& more = "") {
  return parse_experiment(
      "schema: 1\nmodel: {path: a.gguf}\nquantization:\n  sequence: {transform: several" + sequence + "}\n" + more,
      "e.yaml", {}, several());
}

TrialSpec trial(const std::string& sequence) {
  return apply(read_several(sequence), {});
}

std::string fault(const std::string& sequence) {
  try {
    trial(sequence);
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a list of names is a set in the catalog's order; auto is the default") {
  CHECK(trial("").quantization.sequence.options == Json({{"parts", nullptr}}));
  CHECK(trial(", parts: auto").quantization.sequence.options == Json({{"parts", nullptr}}));
  const Json ordered = Json::array({"half/2", "all"});
  CHECK(trial(", parts: [all, half/2]").quantization.sequence.options["parts"] == ordered);
  const Schema schema(several());
  CHECK(trial_id(trial(", parts: [all, half/2]"), schema) == trial_id(trial(", parts: [half/2, all]"), schema));
  CHECK(trial_id(trial(", parts: [all]"), schema) != trial_id(trial(", parts: [half/2, all]"), schema));
  CHECK(trial_id(trial(", parts: auto"), schema) == trial_id(trial(""), schema));
  for (const char* given : {"", ", parts: [all, none]"}) {
    const TrialSpec t = trial(given);
    const Json canon = canonical(t, schema);
    CHECK(canon["quantization"]["sequence"]["parts"] ==
          (std::string(given).empty() ? Json("auto") : Json::array({"none", "all"})));
    CHECK(trial_from_json(canon, schema).quantization.sequence.options == t.quantization.sequence.options);
  }
}

TEST_CASE("a wrong name comes back with its place, what is allowed and the nearest one") {
  const std::string allowed = "a list of different names out of: none, half, half/1 to half/2, all, or auto";
  const std::string wrong = fault(", parts: [none, halff/2]");
  CHECK(wrong.starts_with("e.yaml:4:"));
  CHECK(wrong.find("quantization.sequence.parts: the text \"halff/2\" in the list; " + allowed +
                   " (did you mean \"half/2\"?)") != std::string::npos);
  CHECK(fault(", parts: none").find("the text \"none\"; " + allowed) != std::string::npos);
  CHECK(fault(", parts: []").find("an empty list; " + allowed) != std::string::npos);
  CHECK(fault(", parts: [all, all]").find("the text \"all\" twice") != std::string::npos);
  CHECK(fault(", parts: [[all]]").find("quantization.sequence.parts") != std::string::npos);
}

TEST_CASE("lists of names sweep as other values do") {
  const Experiment e = read_several("", "sweep: {axes: {quantization.sequence.parts: [auto, [none], [all, none]]}}\n");
  REQUIRE(e.axes.size() == 1);
  REQUIRE(e.axes[0].values.size() == 3);
  CHECK(e.axes[0].values[0].value == "auto");
  CHECK(e.axes[0].values[2].value == Json::array({"none", "all"}));
}
