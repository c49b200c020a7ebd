// The synthetic end-to-end table of specification methods 2.6: AR(1) tokens, outlier channels, an attention sink.
#include <array>

#include "quant/sequence_quantizer.h"
#include "support/catch.h"
#include "support/matrices.h"
#include "transforms/feature_transform.h"

using namespace stamp;
using test::Matrix;

namespace {

constexpr std::int64_t tokens = 2048, features = 1024;

struct Setting {
  double rho;
  bool hadamard, sink, outliers;
};

Matrix make_tokens(const Setting& setting) {
  Matrix x = test::gaussian(tokens, features, 2026);
  const auto keep = static_cast<float>(setting.rho), add = static_cast<float>(std::sqrt(1 - setting.rho * setting.rho));
  for (std::int64_t i = 1; i < tokens; ++i)
    for (std::int64_t j = 0; j < features; ++j) x.at(i, j) = keep * x.at(i - 1, j) + add * x.at(i, j);
  if (setting.outliers)
    for (std::int64_t c = 0; c < 8; ++c)
      for (std::int64_t i = 0; i < tokens; ++i) x.at(i, c) = 30 * x.at(i, c) + 60;
  if (setting.sink)
    for (const std::int64_t c : {8, 9, 10, 11}) x.at(0, c) = 3000;
  if (setting.hadamard) hadamard(features)->apply(x.view());
  return x;
}

double sqnr(const Matrix& x, const std::string& name, std::int64_t skip, Json levels, std::int64_t high) {
  SequenceTransformRequest request;
  request.tokens = tokens - skip;
  if (name == "haar") request.options["levels"] = levels;
  const auto l = skip_first(skip, make_sequence_transform(name, request));
  RowBits bits;
  bits.bits.assign(tokens, 4.0f);
  std::fill_n(bits.bits.begin(), high, 8.0f);
  Matrix out(tokens, features);
  QuantizerWorkspace workspace;
  quantize_sequence(x.view(), *l, bits, {}, out.view(), nullptr, workspace);
  double signal = 0, error = 0;
  for (std::int64_t i = 1; i < tokens; ++i)  // without the sink token
    for (std::int64_t j = 0; j < features; ++j) {
      const double v = static_cast<double>(x.at(i, j)), e = static_cast<double>(out.at(i, j)) - v;
      signal += v * v;
      error += e * e;
    }
  return 10 * std::log10(signal / error);
}

}  // namespace

TEST_CASE("synthetic tokens reach the SQNR of the published table") {
  struct Row {
    Setting setting;
    std::array<double, 6> db;  // uniform, identity 64, Haar 3, Haar 5, full, Haar 5 without the first token
  };
  const Row rows[] = {{{.90, false, false, true}, {15.36, 15.49, 16.33, 18.03, 18.04, 18.03}},
                      {{.90, true, false, true}, {22.21, 22.33, 23.43, 29.81, 29.83, 29.82}},
                      {{.90, true, true, true}, {22.21, 22.33, 22.77, 26.99, 27.00, 29.82}},
                      {{.90, true, true, false}, {18.06, 18.20, 16.76, 16.97, 16.97, 20.39}},
                      {{.99, true, true, true}, {22.35, 22.45, 22.84, 29.94, 29.96, 37.11}}};
  // Averages over 2 million values: 0.2 dB covers other draws. The last column counts the skipped token beyond the 64
  // (with 63 of the 64 approximation rows at 8 bits the last row reads 35.6 instead of 37.1). The specification does
  // not say which channels are outliers and which hold the sink: a Hadamard matrix adds neighbouring channels into
  // few columns, so that ranges depend on it. Ours are 0..7 and 8..11. Where both meet (sink and outliers, Haar 5 and
  // full) other choices move the result from 27.2 to 28.8 dB at rho .90 and from 30.9 to 35.2 at .99, hence 2 dB;
  // at .99 one stretch of correlated tokens weighs more, hence 0.5 dB.
  for (const Row& row : rows) {
    const Setting& s = row.setting;
    INFO("rho " << s.rho << ", hadamard " << s.hadamard << ", sink " << s.sink << ", outliers " << s.outliers);
    const Matrix x = make_tokens(s);
    const std::array<double, 6> got{sqnr(x, "identity", 0, nullptr, 0), sqnr(x, "identity", 0, nullptr, 64),
                                    sqnr(x, "haar", 0, 3, 64),          sqnr(x, "haar", 0, 5, 64),
                                    sqnr(x, "haar", 0, 11, 64),         sqnr(x, "haar", 1, 5, 65)};
    for (std::size_t i = 0; i < got.size(); ++i) {
      INFO("column " << i);
      const bool placed = s.sink && s.outliers && (i == 3 || i == 4), few_stretches = s.rho > .95;
      const bool three_levels = s.sink && s.outliers && i == 2;
      CHECK(got[i] == Approx(row.db[i]).margin(placed ? 2 : few_stretches || three_levels ? 0.5 : 0.2));
    }
  }
}
