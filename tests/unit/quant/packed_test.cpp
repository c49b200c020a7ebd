// Packed rows against the grids they store: the same values, bit by bit the same levels, and no byte uncounted.
#include <cmath>
#include <limits>

#include "quant/grid.h"
#include "quant/packed.h"
#include "support/catch.h"
#include "support/matrices.h"

using namespace stamp;
using test::Matrix;

namespace {

// The obvious way back: every group of every row through the loop of the grid.
Matrix fake_quantized(const Matrix& x, const std::vector<float>& bits, const ActivationGrid& grid) {
  Matrix out(x.rows, x.cols);
  const std::int64_t width = grid.group > 0 ? grid.group : x.cols;
  for (std::int64_t i = 0; i < x.rows; ++i) {
    Grid g;
    g.bits = static_cast<double>(bits[static_cast<std::size_t>(i)]);
    g.symmetric = grid.symmetric;
    g.clip = grid.clip;
    if (g.bits <= grid.learned_bits) {
      g.clip_low = grid.learned_low;
      g.clip_high = grid.learned_high;
    }
    for (std::int64_t c = 0; c < x.cols; c += width) {
      const auto n = static_cast<std::size_t>(std::min(width, x.cols - c));
      fake_quantize_group({x.view().row(i) + c, n}, g, {out.view().row(i) + c, n});
    }
  }
  return out;
}

Matrix unpacked(const PackedRows& packed, std::int64_t extra = 0) {
  Matrix out(packed.rows(), packed.cols(), extra);
  packed.dequantize(out.view());
  return out;
}

bool equal(const Matrix& a, const Matrix& b) {
  for (std::int64_t i = 0; i < a.rows; ++i)
    for (std::int64_t j = 0; j < a.cols; ++j)
      if (a.at(i, j) != b.at(i, j) && !(std::isnan(a.at(i, j)) && std::isnan(b.at(i, j)))) return false;
  return true;
}

}  // namespace

TEST_CASE("packed rows give back what the grid gives, at every width, group and shape") {
  for (const double bits : {1.0, 2.0, 3.0, 3.7, 4.0, 5.0, 6.0, 7.0, 8.0})
    for (const bool symmetric : {false, true})
      for (const std::int64_t cols : {1, 7, 8, 24, 63, 64, 129})
        for (const std::int64_t group : {0, 5, 8, 64}) {
          CAPTURE(bits, symmetric, cols, group);
          const Matrix x = test::gaussian(3, cols, 11, 3);
          ActivationGrid grid;
          grid.symmetric = symmetric;
          grid.group = group;
          grid.clip = 0.9;
          const std::vector<float> rows(3, static_cast<float>(bits));
          const PackedRows packed(x.view(), rows, grid);
          const Matrix back = unpacked(packed, 2);
          CHECK(equal(back, fake_quantized(x, rows, grid)));
          CHECK(back.margin_kept());
        }
}

TEST_CASE("rows of one chunk have their own bits, and 16 keeps them as they are") {
  const Matrix x = test::gaussian(9, 40, 5);
  const std::vector<float> bits = {8, 8, 4, 4, 4, 16, 3, 8, 2};
  ActivationGrid grid;
  grid.group = 20;
  grid.learned_low = 0.8;
  grid.learned_high = 0.7;
  grid.learned_bits = 4;  // not of the rows at 8
  const PackedRows packed(x.view(), bits, grid);
  const Matrix back = unpacked(packed);
  CHECK(equal(back, fake_quantized(x, bits, grid)));
  for (std::int64_t j = 0; j < 40; ++j) CHECK(back.at(5, j) == x.at(5, j));
  CHECK(packed.stored_bits() == 40.0 * (8 + 8 + 4 + 4 + 4 + 32 + 3 + 8 + 2));
}

TEST_CASE("levels are integers of the grid, in the bits that are counted") {
  const Matrix x = test::gaussian(2, 70, 3);
  for (const float bits : {2.0f, 3.0f, 4.0f, 5.0f, 8.0f}) {
    ActivationGrid grid;
    grid.group = 35;
    const PackedRows packed(x.view(), std::vector<float>(2, bits), grid);
    const Matrix back = unpacked(packed);
    const std::int64_t steps = steps_of(static_cast<double>(bits));
    for (std::int64_t i = 0; i < 2; ++i)
      for (const std::int64_t begin : {0, 35}) {
        // Range with zero inside, by the definition.
        float low = 0, high = 0;
        for (std::int64_t j = begin; j < begin + 35; ++j) {
          low = std::min(low, x.at(i, j));
          high = std::max(high, x.at(i, j));
        }
        const float delta = (high - low) / static_cast<float>(steps);
        const float zero = std::nearbyint(-low / delta);
        for (std::int64_t j = begin; j < begin + 35; ++j) {
          const std::int64_t q = packed.level(i, j);
          REQUIRE(q >= 0);
          REQUIRE(q <= steps);
          CHECK(back.at(i, j) == delta * (static_cast<float>(q) - zero));
        }
      }
  }
}

TEST_CASE("bytes: levels, a scale of four bytes and a zero point of one for every group") {
  const auto measured = [](std::int64_t rows, std::int64_t cols, double bits, std::int64_t group) {
    ActivationGrid grid;
    grid.group = group;
    return PackedRows(test::gaussian(rows, cols, 1).view(),
                      std::vector<float>(static_cast<std::size_t>(rows), static_cast<float>(bits)), grid)
        .bytes();
  };
  // One run of rows and the padding of the last word come on top of the formula.
  const std::uint64_t fixed = measured(0 + 1, 8, 8, 0) - packed_row_bytes(1, 8, 8, 0);
  CHECK(packed_row_bytes(1, 64, 4, 64) == 32 + 5);
  CHECK(packed_row_bytes(64, 192, 4, 64) == 64 * 3 * 37);
  CHECK(packed_row_bytes(2, 10, 3, 4) == 2 * (2 + 2 + 1 + 3 * 5));
  CHECK(packed_row_bytes(2, 10, 16, 4) == 2 * 40);
  for (const double bits : {2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 16.0})
    for (const std::int64_t cols : {8, 60, 64, 192})
      for (const std::int64_t group : {0, 7, 64}) {
        CAPTURE(bits, cols, group);
        CHECK(measured(5, cols, bits, group) == packed_row_bytes(5, cols, bits, group) + fixed);
      }
  CHECK(fixed <= 32);
}

TEST_CASE("groups without a grid: zeros, values that are not finite, extreme ranges") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  Matrix x(6, 8);
  for (std::int64_t j = 0; j < 8; ++j) {
    x.at(0, j) = 0;
    x.at(1, j) = static_cast<float>(j);
    x.at(2, j) = -static_cast<float>(j);
    x.at(3, j) = static_cast<float>(j) * 1e-38f;
    x.at(4, j) = static_cast<float>(j) * 4e37f;
    x.at(5, j) = 1;
  }
  x.at(1, 3) = infinity;
  x.at(2, 3) = std::numeric_limits<float>::quiet_NaN();
  for (const float bits : {4.0f, 8.0f}) {
    const std::vector<float> rows(6, bits);
    CHECK(equal(unpacked(PackedRows(x.view(), rows, {})), fake_quantized(x, rows, {})));
  }
}

TEST_CASE("widths that no byte holds are refused") {
  const Matrix x = test::gaussian(1, 8, 1);
  CHECK_THROWS_AS(PackedRows(x.view(), std::vector<float>{9}, {}), std::logic_error);
  CHECK_THROWS_AS(PackedRows(x.view(), std::vector<float>{4, 4}, {}), std::logic_error);
  CHECK(stored_width(8) == 8);
  CHECK(stored_width(3.7) == 4);
  CHECK(stored_width(16) == 32);
  const PackedRows none;
  CHECK(none.bytes() == 0);
}
