// Wavelets other than Haar: PyWavelets' filters and decompositions, and what the ends promise.
#include <fstream>

#include "base/error.h"
#include "support/catch.h"
#include "support/matrices.h"
#include "transforms/sequence_transform.h"
#include "transforms/wavelet_levels.h"

using namespace stamp;
using test::Matrix;

namespace {

std::unique_ptr<SequenceTransform> make(std::int64_t tokens, const Json& options) {
  SequenceTransformRequest request;
  request.tokens = tokens;
  request.options = options;
  return make_sequence_transform("wavelet", request);
}

double from_orthonormal(const std::vector<double>& m, std::size_t s) {
  double worst = 0;
  for (std::size_t i = 0; i < s; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      double dot = 0;
      for (std::size_t t = 0; t < s; ++t) dot += m[i * s + t] * m[j * s + t];
      worst = std::max(worst, std::fabs(dot - (i == j)));
    }
  return worst;
}

}  // namespace

TEST_CASE("filters and periodic decompositions are those of PyWavelets") {
  std::ifstream file(STAMP_SOURCE_DIR "/tests/golden/wavelets.json");
  REQUIRE(file);
  const Json golden = Json::parse(file);
  REQUIRE(golden["filters"].size() == wavelet_filters().size());
  for (const auto& [name, taps] : golden["filters"].items()) {
    const WaveletFilter& filter = wavelet_filter(name);
    REQUIRE(taps.size() == filter.low.size());
    // PyWavelets' symlets carry twelve digits.
    for (std::size_t t = 0; t < filter.low.size(); ++t) CHECK(std::fabs(taps[t].get<double>() - filter.low[t]) < 3e-12);
  }
  REQUIRE(golden["cases"].size() == 24);
  for (const Json& c : golden["cases"]) {
    const auto tokens = c["tokens"].get<std::int64_t>();
    INFO(c["family"] << " " << tokens << " levels " << c["levels"]);
    const auto l = make(tokens, {{"family", c["family"]}, {"boundary", "periodic"}, {"levels", c["levels"]}});
    std::vector<float> x;
    for (std::int64_t n = 0; n < tokens; ++n) x.push_back(static_cast<float>(n * 7919 % 1024) / 512 - 1);
    transform_forward(*l, {x.data(), tokens, 1, 1});
    double worst = 0;
    for (std::size_t i = 0; i < c["rows"].size(); ++i)
      worst = std::max(
          worst, std::fabs(c["values"][i].get<double>() - static_cast<double>(x[c["rows"][i].get<std::size_t>()])));
    CHECK(worst < 8e-7 * (1 + std::sqrt(static_cast<double>(tokens))));  // as for the other transforms
  }
}

TEST_CASE("every family is orthonormal with both ends, at every length and depth, and its own inverse's transpose") {
  for (const WaveletFilter& filter : wavelet_filters())
    for (const std::string boundary : {"edge", "periodic"})
      for (const std::int64_t s : {1, 2, 7, 12, 13, 31, 48, 49, 64, 95, 150})
        for (const int levels : {1, 2, 3, 4}) {
          const int most = boundary == "edge" ? most_edge_levels(filter, s) : static_cast<int>(std::ceil(std::log2(s)));
          if (levels > most) continue;
          INFO(filter.name << " " << boundary << " " << s << " levels " << levels);
          const auto l = make(s, {{"family", filter.name}, {"boundary", boundary}, {"levels", levels}});
          const auto m = l->matrix();
          CHECK(from_orthonormal(m, static_cast<std::size_t>(s)) < 1e-12);
          const Matrix x = test::gaussian(s, 21, 5, 3);
          Matrix t = x;
          transform_forward(*l, t.view());
          CHECK(test::difference(t, test::dense_left(m, x)) < 2e-5);
          transform_inverse(*l, t.view());
          CHECK(test::difference(t, x) < 2e-5);
        }
}

TEST_CASE(
    "details vanish for polynomials up to the last token with edge filters, and at the ends alone with periodic ones") {
  for (const WaveletFilter& filter : wavelet_filters())
    for (const std::int64_t s : {200, 201, 333})
      for (int degree = 0; degree < filter.moments; ++degree) {
        INFO(filter.name << " " << s << " degree " << degree);
        const int levels = std::min(2, most_edge_levels(filter, s));
        std::vector<double> x;
        for (std::int64_t t = 0; t < s; ++t)
          x.push_back(std::pow(2 * static_cast<double>(t) / static_cast<double>(s) - 1, degree));
        const auto details = [&](const std::string& boundary) {
          const auto m = make(s, {{"family", filter.name}, {"boundary", boundary}, {"levels", levels}})->matrix();
          std::int64_t low = s;
          for (int level = 0; level < levels; ++level) low = (low + 1) / 2;
          double largest = 0;
          for (std::int64_t i = low; i < s; ++i) {
            double sum = 0;
            for (std::int64_t t = 0; t < s; ++t)
              sum += m[static_cast<std::size_t>(i * s + t)] * x[static_cast<std::size_t>(t)];
            largest = std::max(largest, std::fabs(sum));
          }
          return largest;
        };
        CHECK(details("edge") < 1e-9);
        if (degree == 1) CHECK(details("periodic") > 0.1);
      }
}

TEST_CASE("inner rows of the edge transform are the filter") {
  const WaveletFilter& filter = wavelet_filter("db3");
  const auto levels = edge_levels(filter, 60, 1);
  const WaveletRow& row = levels[0].matrix[10];  // a low one in the middle: 2i - p + 1 = 18
  REQUIRE(row.columns.size() == 6);
  CHECK(row.columns[0] == 18);
  CHECK(row.weights == filter.low);
}

TEST_CASE("too many levels and unknown families are refused with what is possible") {
  const auto reason = [](std::int64_t tokens, const Json& options) {
    try {
      make(tokens, options);
    } catch (const TrialError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(reason(40, {{"family", "sym4"}, {"levels", 3}}).find("at most 1 levels of sym4") != std::string::npos);
  CHECK(reason(40, {{"family", "sym4"}, {"levels", 3}}).find("24 rows") != std::string::npos);
  CHECK(reason(40, {{"family", "sym4"}, {"boundary", "periodic"}, {"levels", 6}}).empty());
  CHECK(reason(40, {{"family", "sym44"}}).find("sym4") != std::string::npos);
}
