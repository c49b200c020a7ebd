// Transforms on the grid of an image's tokens. Specification methods 2.3, 2.4.
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "quant/sequence_quantizer.h"
#include "support/catch.h"
#include "support/matrices.h"
#include "transforms/haar2d.h"
#include "transforms/row_order.h"
#include "transforms/sequence_transform.h"

using namespace stamp;
using test::Matrix;

namespace {

std::unique_ptr<SequenceTransform> make(const std::string& name, std::int64_t h, std::int64_t w, Json levels = nullptr,
                                        std::int64_t high = 0) {
  SequenceTransformRequest request;
  request.tokens = h * w;
  request.grid_height = h;
  request.grid_width = w;
  request.high_tokens = high;
  if (!levels.is_null()) request.options["levels"] = levels;
  return make_sequence_transform(name, request);
}

std::vector<float> column(const SequenceTransform& l, std::vector<float> x) {
  transform_forward(l, {x.data(), l.tokens(), 1, 1});
  return x;
}

// As for sequences (sequence_test.cpp), of both sides one after the other.
double tolerance(std::int64_t tokens) {
  return 4e-6 * (1 + std::bit_width(static_cast<std::uint64_t>(tokens)));
}

void check_against_matrix(const SequenceTransform& l, std::int64_t cols, std::int64_t extra) {
  INFO("tokens " << l.tokens() << ", columns " << cols << ", extra stride " << extra);
  const Matrix x = test::gaussian(l.tokens(), cols, 7, extra);
  Matrix t = x;
  transform_forward(l, t.view());
  CHECK(test::difference(t, test::dense_left(l.matrix(), x)) < tolerance(l.tokens()));
  Matrix back = t;
  transform_inverse(l, back.view());
  CHECK(test::difference(back, x) < tolerance(l.tokens()));
  CHECK(t.margin_kept());
  CHECK(back.margin_kept());
}

std::string refusal(const std::string& name, std::int64_t h, std::int64_t w, Json levels = nullptr) {
  try {
    make(name, h, w, levels);
  } catch (const TrialError& e) {
    return e.what();
  }
  return "";
}

// Energy of the first k rows of L S L^T for tokens with covariance rho^|dy| rho^|dx|.
double energy_share(const SequenceTransform& l, std::int64_t h, std::int64_t w, double rho, std::int64_t k) {
  const auto m = l.matrix();
  const std::int64_t s = h * w;
  double total = 0;
  for (std::int64_t i = 0; i < k; ++i) {
    const double* row = m.data() + i * s;
    // The covariance is a product over the sides: filter along the width, then along the height.
    std::vector<double> across(static_cast<std::size_t>(s), 0.0);
    for (std::int64_t y = 0; y < h; ++y)
      for (std::int64_t a = 0; a < w; ++a)
        for (std::int64_t b = 0; b < w; ++b)
          across[static_cast<std::size_t>(y * w + a)] += std::pow(rho, std::abs(a - b)) * row[y * w + b];
    for (std::int64_t x = 0; x < w; ++x)
      for (std::int64_t a = 0; a < h; ++a)
        for (std::int64_t b = 0; b < h; ++b)
          total += row[a * w + x] * std::pow(rho, std::abs(a - b)) * across[static_cast<std::size_t>(b * w + x)];
  }
  return total / static_cast<double>(s);
}

}  // namespace

TEST_CASE("the 2-D example of the specification, and the order of the bands") {
  CHECK(column(*make("haar2d", 2, 2, 1), {1, 2, 3, 4}) == std::vector<float>{5, -1, -2, 0});
  // A picture that changes along the width only has HL, one that changes along the height only LH.
  const auto l = make("haar2d", 4, 4, 1);
  std::vector<float> wide, tall;
  for (int y = 0; y < 4; ++y)
    for (int x = 0; x < 4; ++x) {
      wide.push_back(static_cast<float>(x % 2));
      tall.push_back(static_cast<float>(y % 2));
    }
  const std::vector<float> a = column(*l, wide), b = column(*l, tall);
  for (std::size_t i = 4; i < 16; ++i) {
    CHECK(a[i] == (i < 8 ? -1.0f : 0.0f));
    CHECK(b[i] == (i >= 8 && i < 12 ? -1.0f : 0.0f));
  }
}

TEST_CASE("grid transforms agree with their dense twins, both ways, on strided views") {
  for (const auto& [h, w, levels] : std::vector<std::array<std::int64_t, 3>>{
           {2, 2, 1}, {4, 2, 1}, {2, 6, 1}, {8, 8, 3}, {8, 12, 2}, {16, 16, 4}, {16, 16, 0}, {24, 8, 3}, {12, 20, 2}}) {
    const auto l = make("haar2d", h, w, levels);
    check_against_matrix(*l, 1, 0);
    check_against_matrix(*l, 37, 5);
    check_against_matrix(*l, 150, 10);
  }
  for (const auto& [h, w] :
       std::vector<std::array<std::int64_t, 2>>{{1, 1}, {1, 9}, {7, 1}, {2, 3}, {8, 8}, {11, 13}}) {
    const auto l = make("dct2d", h, w);
    check_against_matrix(*l, 1, 0);
    check_against_matrix(*l, 37, 5);
    check_against_matrix(*l, 150, 10);
  }
}

TEST_CASE("automatic levels leave at most the high rows in the approximation, as far as both sides halve") {
  CHECK(haar2d_auto_levels(64, 64, 64) == 3);
  CHECK(haar2d_auto_levels(32, 32, 0) == 2);
  CHECK(haar2d_auto_levels(16, 16, 64) == 1);
  CHECK(haar2d_auto_levels(8, 8, 64) == 0);
  CHECK(haar2d_auto_levels(48, 84, 64) == 2);
  CHECK(haar2d_most_levels(48, 84) == 2);
}

TEST_CASE("a grid that does not halve is refused with both sides and what is allowed") {
  const std::string text = refusal("haar2d", 48, 84, 3);
  for (const char* part : {"48 x 84", "levels is 3", "0 to 2"}) CHECK(text.find(part) != std::string::npos);
  CHECK(refusal("haar2d", 9, 33).find("9 x 33") != std::string::npos);
  CHECK(refusal("haar2d", 3, 5).empty());  // 15 rows, all of them high ones: nothing to do
  CHECK(refusal("dct2d", 9, 33).empty());
  for (const char* name : {"haar2d", "dct2d"}) {
    SequenceTransformRequest plain;
    plain.tokens = 64;
    CHECK_THROWS_AS(make_sequence_transform(name, plain), TrialError);
    plain.grid_height = 8;
    plain.grid_width = 9;
    CHECK_THROWS_AS(make_sequence_transform(name, plain), TrialError);
  }
}

TEST_CASE("energy in the first 64 rows of a smooth picture is that of the specification's table") {
  CHECK(energy_share(*make("haar2d", 32, 32, 2), 32, 32, 0.95, 64) == Approx(.8818).margin(1e-4));
}

TEST_CASE("the fused quantizer on a grid agrees with its slow twin, for whole rows and for groups") {
  QuantizerWorkspace workspace;
  struct Case {
    std::string name;
    std::int64_t h, w;
    Json levels;
  };
  // Blocks of lines that fit the cache, blocks that do not, no blocks.
  const std::vector<Case> cases = {{"haar2d", 16, 16, nullptr}, {"haar2d", 32, 32, 4},     {"haar2d", 16, 64, 3},
                                   {"dct2d", 16, 16, nullptr},  {"dct2d", 9, 33, nullptr}, {"haar", 16, 16, nullptr}};
  for (const auto& [name, h, w, levels] : cases) {
    const auto l = make(name, h, w, levels);
    const Matrix x = test::gaussian(h * w, 200, 3, 0);
    RowBits bits;
    bits.bits.assign(static_cast<std::size_t>(h * w), 4.0f);
    std::fill_n(bits.bits.begin(), 64, 8.0f);
    for (const std::int64_t group : {0, 64}) {
      ActivationGrid grid;
      grid.group = group;
      Matrix fast = x, slow = x;
      quantize_sequence(x.view(), *l, bits, grid, fast.view(), nullptr, workspace);
      quantize_sequence_reference(x.view(), *l, bits, grid, slow.view(), nullptr);
      // A value of T halfway between two levels may go either way, which changes one column of X. Float rounding
      // decides about one value in 10^5, of 51200 to 205000 here.
      std::int64_t far = 0;
      for (std::int64_t i = 0; i < x.rows; ++i)
        for (std::int64_t j = 0; j < x.cols; ++j)
          far += std::abs(fast.view().row(i)[j] - slow.view().row(i)[j]) > 1e-4f;
      INFO(name << " " << h << " x " << w << " group " << group);
      CHECK(far <= 4 * x.rows);
    }
  }
}

TEST_CASE("blocks of lines taken in tiles of columns: sums of every row, and outputs written around the caches") {
  QuantizerWorkspace workspace;
  ActivationGrid grid;
  grid.group = 24;  // no divisor of the tile's columns, nor of the matrix's
  {
    const auto l = make("haar2d", 16, 64, 3);
    const Matrix x = test::gaussian(1024, 250, 5);
    RowBits bits;
    bits.bits.assign(1024, 4.0f);
    std::fill_n(bits.bits.begin(), 16, 8.0f);
    Matrix fast = x, slow = x;
    SlotStatistics got, expected, measured;
    quantize_sequence(x.view(), *l, bits, grid, fast.view(), &got, workspace);
    quantize_sequence_reference(x.view(), *l, bits, grid, slow.view(), &expected);
    measure_energies(x.view(), *l, grid.group, measured, workspace);
    for (std::size_t i = 0; i < 1024; ++i) {
      CHECK(got.row_energy[i] == Approx(expected.row_energy[i]).epsilon(1e-5));
      CHECK(measured.row_energy[i] == Approx(expected.row_energy[i]).epsilon(1e-5));
      CHECK(got.row_range2[i] == Approx(expected.row_range2[i]).epsilon(1e-5));
      CHECK(got.row_error[i] == Approx(expected.row_error[i]).epsilon(0.02));
    }
    CHECK(got.b5 == Approx(expected.b5).epsilon(1e-5));
  }
  const auto l = make("haar2d", 64, 64, 3);
  const std::int64_t s = 4096, d = 1040;
  const Matrix x = test::gaussian(s, d, 9);
  RowBits bits;
  bits.bits.assign(static_cast<std::size_t>(s), 4.0f);
  grid.group = 64;
  std::vector<float> aligned(static_cast<std::size_t>(s * d) + 16);
  auto* start = reinterpret_cast<float*>((reinterpret_cast<std::uintptr_t>(aligned.data()) + 63) / 64 * 64);
  Matrix in_place = x;
  quantize_sequence(in_place.view(), *l, bits, grid, in_place.view(), nullptr, workspace);
  quantize_sequence(x.view(), *l, bits, grid, {start, s, d, d}, nullptr, workspace);
  CHECK(std::memcmp(start, in_place.values.data(), static_cast<std::size_t>(s * d) * sizeof(float)) == 0);
}

TEST_CASE("rows go to their places and come back") {
  const std::vector<std::int64_t> place{3, 1, 0, 5, 2, 4, 6};
  const RowOrder order(place);
  std::vector<float> x(14);
  std::iota(x.begin(), x.end(), 0.0f);
  const std::vector<float> before = x;
  float spare[2];
  order.forward({x.data(), 7, 2, 2}, spare);
  for (std::size_t i = 0; i < 7; ++i) CHECK(x[static_cast<std::size_t>(place[i]) * 2 + 1] == before[i * 2 + 1]);
  order.backward({x.data(), 7, 2, 2}, spare);
  CHECK(x == before);
  CHECK_THROWS_AS(RowOrder({0, 0, 1}), std::logic_error);
}
