#include "base/text.h"
#include "fixture.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::testing;

namespace {
std::string warnings(const std::string& text) {
  return join(read(with(text)).warnings, "\n");
}
}  // namespace

TEST_CASE("a setting that matters in no trial is a warning with its place") {
  CHECK(warnings("quantization: {sequence: {transform: dct, levels: 3}}") ==
        "e.yaml:3:51: quantization.sequence.levels: does nothing in any trial; it matters only when the sequence "
        "transform is haar or coarse, and (activations.bits is below 16, or kv_cache.bits is below 16 and transformed "
        "is true)");
  CHECK(warnings("quantization: {smoothquant: {alpha: 0.5}}").find("it matters only when the method is smoothquant") !=
        std::string::npos);
  CHECK(warnings("calibration: {samples: 4}").find("e.yaml:3:24: calibration.samples: does nothing") == 0);
  CHECK(warnings("quantization: {weights: {group_size: 64}}")
            .find("when weights.bits is below 16 and granularity is group") != std::string::npos);
  CHECK(warnings("sweep: {axes: {quantization.smoothquant.alpha: [0.5, 0.8]}}")
            .find("e.yaml:3:16: quantization.smoothquant.alpha") == 0);
}

TEST_CASE("a condition stands in full, not as that of another setting") {
  CHECK(warnings("calibration: {context: 64}")
            .find("it matters only when the method, weight quantizer, transform, allocation or shift needs "
                  "calibration, and no "
                  "metric of images is evaluated") != std::string::npos);
  CHECK(warnings("evaluate: [zero_shot]\ndata: {context: 64}")
            .find("it matters only when evaluate holds a metric of text windows") != std::string::npos);
  for (const Field& f : schema().fields()) {
    CAPTURE(f.path, f.when);
    CHECK(f.when.rfind("as ", 0) == std::string::npos);
  }
}

TEST_CASE("an option of an inactive plugin is fine when the sweep activates it") {
  const std::string options =
      "quantization: {sequence: {transform: dct, levels: 3}, smoothquant: {alpha: 0.5}}\ncalibration: {samples: 4}\n";
  CHECK(read(with(options)).warnings.size() == 3);
  CHECK(
      warnings(
          options +
          "sweep: {axes: {quantization.method: [rtn, smoothquant], quantization.sequence.transform: [identity, haar]}}")
          .empty());
  CHECK(warnings(options + "sweep: {zip: [{quantization.method: [rtn, smoothquant], quantization.sequence.transform: "
                           "[identity, haar]}]}")
            .empty());
  CHECK(
      warnings(options + "sweep: {cells: [{quantization.method: smoothquant, quantization.sequence.transform: haar}]}")
          .empty());
}

TEST_CASE("settings that always matter never warn") {
  CHECK(warnings("data: {text: wikitext2-test, context: 64, windows: 2, bos: start}\nevaluate: [perplexity]").empty());
}
