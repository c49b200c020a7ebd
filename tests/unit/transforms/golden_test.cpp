// Our transforms beside SciPy's DCT and Hadamard matrices and PyWavelets' Haar decomposition, from stored values
// (scripts/reference/transforms.py makes and checks them).
#include <fstream>

#include "support/catch.h"
#include "transforms/sequence_transform.h"

using namespace stamp;

TEST_CASE("sequence transforms agree with SciPy and PyWavelets") {
  std::ifstream file(STAMP_SOURCE_DIR "/tests/golden/transforms.json");
  REQUIRE(file);
  const Json golden = Json::parse(file);
  REQUIRE(golden["cases"].size() == 49);
  for (const Json& c : golden["cases"]) {
    const auto tokens = c["tokens"].get<std::int64_t>();
    INFO(c["transform"] << " " << tokens << " levels " << c["levels"]);
    SequenceTransformRequest request;
    request.tokens = tokens;
    if (c.contains("grid")) {
      request.grid_height = c["grid"][0].get<std::int64_t>();
      request.grid_width = c["grid"][1].get<std::int64_t>();
    }
    if (!c["levels"].is_null()) request.options["levels"] = c["levels"];
    const auto l = make_sequence_transform(c["transform"], request);
    std::vector<float> x;
    for (std::int64_t n = 0; n < tokens; ++n) x.push_back(static_cast<float>(n * 7919 % 1024) / 512 - 1);
    transform_forward(*l, {x.data(), tokens, 1, 1});
    double worst = 0;
    for (std::size_t i = 0; i < c["rows"].size(); ++i)
      worst = std::max(
          worst, std::fabs(c["values"][i].get<double>() - static_cast<double>(x[c["rows"][i].get<std::size_t>()])));
    // Values reach sqrt(tokens); float rounding of the passes stays below some epsilons of that.
    CHECK(worst < 8e-7 * (1 + std::sqrt(static_cast<double>(tokens))));
  }
}
