#include "fixture.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::testing;

namespace {
bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
}  // namespace

TEST_CASE("axes, zip groups, cells and exclusions are typed by the schema") {
  const Experiment e = read(with(R"(sweep:
  axes:
    quantization.weights.bits: [3, 4]
    evaluate: [[perplexity], [slot_error, perplexity]]
  zip:
    - {quantization.activations.bits: [4, 8], quantization.kv_cache.bits: [8, 4]}
  cells:
    - {quantization.method: quarot, quantization.quarot.seed: 5}
    - {}
  exclude:
    - {when: {quantization.weights.bits: [3, 4], quantization.activations.bits: 8}, because: dull}
  repeats: 3)"));
  REQUIRE(e.axes.size() == 2);
  CHECK(e.axes[0].values[1].value == 4);
  CHECK(e.axes[1].values[1].value == Json::array({"perplexity", "slot_error"}));  // a set, in the catalog's order
  REQUIRE(e.zips.size() == 1);
  CHECK(e.zips[0].axes.size() == 2);
  REQUIRE(e.cells.size() == 2);
  CHECK(e.cells[0].assignments[1].path == "quantization.quarot.seed");
  CHECK(e.cells[1].assignments.empty());
  CHECK(e.repeats == 3);

  TrialSpec t = apply(e, {{"quantization.weights.bits", e.axes[0].values[0]},
                          {"quantization.activations.bits", e.zips[0].axes[0].values[1]}});
  CHECK(covers(e.exclude[0], t, *e.schema));
  t.quantization.activations.bits = 4;
  CHECK_FALSE(covers(e.exclude[0], t, *e.schema));
  CHECK(e.exclude[0].because == "dull");
}

TEST_CASE("an exclusion on an option of a plugin that is not active does not cover") {
  const Experiment e =
      read(with("quantization: {sequence: {transform: haar, levels: 2}}\n"
                "sweep: {exclude: [{when: {quantization.sequence.levels: 2}, because: x}]}"));
  TrialSpec t = apply(e, {});
  CHECK(covers(e.exclude[0], t, *e.schema));
  t.quantization.sequence.transform = "dct";
  CHECK_FALSE(covers(e.exclude[0], t, *e.schema));
}

TEST_CASE("faults of the sweep have places") {
  const auto sweep = [](const std::string& text) { return faults(with("sweep: " + text)); };
  CHECK(has(sweep("{axis: {}}"),
            "e.yaml:3:9: sweep.axis: unknown key; allowed here: axes, zip, cells, exclude, repeats (did you mean "
            "\"axes\"?)"));
  CHECK(
      has(sweep("{axes: {quantization.metod: [rtn]}}"), "e.yaml:3:16: sweep.axes.quantization.metod: unknown setting"));
  CHECK(has(sweep("{axes: {quantization.metod: [rtn]}}"), "(did you mean \"quantization.method\"?)"));
  CHECK(has(sweep("{axes: {quantization.method: rtn}}"), "a list of values to sweep over"));
  CHECK(has(sweep("{axes: {quantization.method: []}}"), "an empty list"));
  CHECK(has(
      sweep("{axes: {quantization.method: [rtn, rtm]}}"),
      "e.yaml:3:43: quantization.method: the text \"rtm\"; one of: rtn, smoothquant, quarot (did you mean \"rtn\"?)"));
  CHECK(has(sweep("{axes: {quantization.method: [rtn, rtn]}}"), "\"rtn\" twice"));
  CHECK(has(sweep("{axes: {quantization.weights: [4]}}"),
            "a section; one field of it, as in \"quantization.weights.bits\""));
  CHECK(has(sweep("{axes: {quantization: {method: [rtn]}}}"), "a section"));
  CHECK(has(sweep("{axes: [1]}"), "sweep.axes: a list; a map"));
  CHECK(has(sweep("{zip: {quantization.method: [rtn]}}"), "sweep.zip: a map; a list"));
  CHECK(has(sweep("{zip: [{quantization.method: [rtn, quarot], data.context: [64]}]}"),
            "sweep.zip.data.context: 1 values; as many as quantization.method has, 2"));
  CHECK(has(sweep("{axes: {data.context: [64]}, zip: [{data.context: [32]}]}"), "swept twice; also at e.yaml:3:16"));
  CHECK(has(sweep("{cells: [{quantization.weights.bits: [3]}]}"), "quantization.weights.bits: a list"));
  CHECK(has(sweep("{cells: [3]}"), "sweep.cells: 3; a map"));
  CHECK(has(sweep("{exclude: [{when: {quantization.method: rtn}}]}"), "sweep.exclude.because: missing"));
  CHECK(has(sweep("{exclude: [{because: x}]}"), "sweep.exclude.when: missing"));
  CHECK(has(sweep("{exclude: [{when: {}, because: x}]}"), "an empty map"));
  CHECK(has(sweep("{exclude: [{when: {quantization.method: no}, because: x}]}"), "one of: rtn"));
  CHECK(has(sweep("{exclude: [{when: {quantization.method: rtn}, because: x, why: y}]}"),
            "sweep.exclude.why: unknown key"));
  CHECK(has(sweep("{repeats: 0}"), "sweep.repeats: 0; an integer from 1 to 1000"));
  CHECK(has(sweep("{repeats: 2.0}"), "sweep.repeats: 2.0; an integer"));
  CHECK(has(sweep("3"), "sweep: 3; a map"));
}

TEST_CASE("values in a zip may repeat") {
  CHECK(faults(with("sweep: {zip: [{quantization.weights.bits: [4, 4], data.context: [64, 128]}]}")).empty());
}

TEST_CASE("the table names settings") {
  const Experiment e =
      read(with("table: {rows: [quantization.method, model.name], columns: quantization.sequence.transform, value: x, "
                "layout: wide}"));
  CHECK(e.table.rows.size() == 2);
  CHECK(e.table.value == "x");
  CHECK(e.table.layout == "wide");
  CHECK(
      has(faults(with("table: {rows: quantization.metod}")), "table.rows: the text \"quantization.metod\"; a setting"));
  CHECK(read(with("table: {average: calibration.seed}")).table.average == std::vector<std::string>{"calibration.seed"});
  CHECK(has(faults(with("table: {rows: calibration.seed, average: calibration.seed}")),
            "table.average: calibration.seed tells rows or columns apart"));
  CHECK(has(faults(with("table: {row: x}")), "table.row: unknown key; allowed here: rows"));
  CHECK(has(faults(with("table: {value: 3}")), "(put it in quotes)"));
}
