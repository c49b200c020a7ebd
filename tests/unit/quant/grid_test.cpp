#include <limits>

#include "quant/grid.h"
#include "support/catch.h"
#include "support/matrices.h"

using namespace stamp;
using test::Matrix;

namespace {

std::vector<float> quantized(const std::vector<float>& x, const Grid& grid) {
  std::vector<float> out(x.size());
  fake_quantize_group(x, grid, out);
  return out;
}

Grid asymmetric(double bits) {
  Grid g;
  g.bits = bits;
  return g;
}
Grid symmetric(double bits) {
  Grid g;
  g.bits = bits;
  g.symmetric = true;
  return g;
}

// Equal values; zeros of either sign are one level.
bool same(const std::vector<float>& a, const Matrix& b, std::int64_t row) {
  return std::equal(a.begin(), a.end(), b.view().row(row));
}

}  // namespace

TEST_CASE("steps of a bit width") {
  CHECK(steps_of(1) == 1);
  CHECK(steps_of(4) == 15);
  CHECK(steps_of(8) == 255);
  CHECK(steps_of(3.7) == 12);  // round(2^3.7) = 13 levels
  CHECK(steps_of(0.9) == 0);
  CHECK(steps_of(std::numeric_limits<double>::quiet_NaN()) == 0);
}

TEST_CASE("asymmetric grid by hand") {
  // Range [-1, 2], 2 bits: step 1, zero point 1, values -1 0 1 2; halves go to the even level.
  CHECK(quantized({-1, 2, 0.4f, 0.5f, 1.5f, -0.5f}, asymmetric(2)) == std::vector<float>{-1, 2, 0, 0, 2, 0});
  // Zero is forced into the range: [0, 3].
  CHECK(quantized({3, 2.2f, 1}, asymmetric(2)) == std::vector<float>{3, 2, 1});
  CHECK(quantized({-3, -2.2f, -1}, asymmetric(2)) == std::vector<float>{-3, -2, -1});
  CHECK(quantized({0, 0, 0}, asymmetric(4)) == std::vector<float>{0, 0, 0});
  CHECK(quantized({}, asymmetric(4)).empty());
  // Clip 0.5 halves the range before the step is taken.
  Grid clipped = asymmetric(2);
  clipped.clip = 0.5;
  CHECK(quantized({-2, 4, 1}, clipped) == std::vector<float>{-1, 2, 1});
  // Each end by its own factor: [-1, 2] again.
  clipped.clip = 1;
  clipped.clip_low = 0.25;
  clipped.clip_high = 0.5;
  CHECK(quantized({-4, 4, 1}, clipped) == std::vector<float>{-1, 2, 1});
}

TEST_CASE("symmetric grid by hand") {
  // max 7, 4 bits: step 1, codes -8..7.
  CHECK(quantized({7, -7, 2.5f, 3.5f, -0.4f}, symmetric(4)) == std::vector<float>{7, -7, 2, 4, 0});
  Grid clipped = symmetric(4);
  clipped.clip = 0.5;  // step 1 again for 14: -8 is reachable
  CHECK(quantized({14, -14, 2}, clipped) == std::vector<float>{7, -8, 2});
  CHECK(quantized({0, 0}, symmetric(4)) == std::vector<float>{0, 0});
}

TEST_CASE("16 bits and more pass untouched") {
  const std::vector<float> x{1.2345678f, -3e-20f, std::numeric_limits<float>::infinity()};
  CHECK(quantized(x, asymmetric(16)) == x);
  CHECK(quantized(x, symmetric(32)) == x);
}

TEST_CASE("a value that is not finite makes its group NaN, and only that") {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()})
    for (const bool sym : {false, true}) {
      Matrix x = test::gaussian(3, 40, 1), out(3, 40);
      x.at(1, 37) = bad;
      Grid grid = sym ? symmetric(4) : asymmetric(4);
      grid.group = 16;
      fake_quantize_rows(x.view(), grid, out.view());
      for (std::int64_t i = 0; i < 3; ++i)
        for (std::int64_t j = 0; j < 40; ++j) CHECK(std::isnan(out.at(i, j)) == (i == 1 && j >= 32));
    }
}

TEST_CASE("the vector loops give exactly the values of the obvious loop") {
  for (const std::int64_t cols : {1, 2, 15, 16, 17, 63, 64, 65, 100, 577, 1536})
    for (const std::int64_t group : {0, 5, 16, 64})
      for (const double bits : {1.0, 2.0, 3.0, 3.7, 4.0, 6.0, 8.0, 12.0, 16.0})
        for (const bool sym : {false, true})
          for (const double clip : {1.0, 0.9, 0.7}) {
            INFO(cols << " columns, group " << group << ", " << bits << " bits, symmetric " << sym << ", clip "
                      << clip);
            Grid grid;
            grid.bits = bits;
            grid.symmetric = sym;
            grid.clip = clip;
            if (clip == 0.7) grid.clip_low = 0.8;
            grid.group = group;
            const Matrix x = test::gaussian(4, cols, static_cast<std::uint64_t>(cols), 3);
            Matrix out(4, cols, 1), in_place = x;
            fake_quantize_rows(x.view(), grid, out.view());
            fake_quantize_rows(in_place.view(), grid, in_place.view());
            bool equal = out.margin_kept() && in_place.margin_kept();
            for (std::int64_t i = 0; i < 4; ++i) {
              std::vector<float> expected(static_cast<std::size_t>(cols));
              const std::int64_t g = group > 0 ? group : cols;
              for (std::int64_t c = 0; c < cols; c += g) {
                const auto n = static_cast<std::size_t>(std::min(g, cols - c));
                fake_quantize_group({x.view().row(i) + c, n}, grid, {expected.data() + c, n});
              }
              equal = equal && same(expected, out, i) && same(expected, in_place, i);
            }
            CHECK(equal);
          }
}

TEST_CASE("ties round to even like the obvious loop, exactly") {
  // Multiples of half a step of 1/15: every second value is a tie.
  std::vector<float> x;
  for (int i = -14; i <= 16; ++i) x.push_back(static_cast<float>(i) * 0.5f);
  for (const float scale : {1.0f, 0.1f, 3.0f, 1e-3f, 7e5f}) {
    std::vector<float> scaled = x, expected(x.size()), got(x.size());
    for (float& v : scaled) v *= scale;
    fake_quantize_group(scaled, asymmetric(4), expected);
    const auto n = static_cast<std::int64_t>(x.size());
    fake_quantize_rows({scaled.data(), 1, n, n}, asymmetric(4), {got.data(), 1, n, n});
    CHECK(got == expected);
  }
}

TEST_CASE("extreme ranges stay defined") {
  const float tiny = std::numeric_limits<float>::denorm_min(), huge = std::numeric_limits<float>::max();
  for (const auto& x : std::vector<std::vector<float>>{{tiny, 0, -tiny},
                                                       {1e-38f, -2e-38f, 5e-39f},
                                                       {1e30f, -1e30f, 3e29f},
                                                       {1e18f, -1, 2e17f},
                                                       {huge / 4, -huge / 4, 1},
                                                       {huge, -huge, 1}})
    for (const bool sym : {false, true})
      for (const double bits : {2.0, 4.0, 8.0}) {
        const Grid grid = sym ? symmetric(bits) : asymmetric(bits);
        const auto expected = quantized(x, grid);
        std::vector<float> got(x.size());
        fake_quantize_rows({x.data(), 1, 3, 3}, grid, {got.data(), 1, 3, 3});
        for (std::size_t i = 0; i < 3; ++i) {
          CHECK(std::isnan(got[i]) == std::isnan(expected[i]));
          if (!std::isnan(expected[i])) CHECK(got[i] == expected[i]);
        }
      }
}

TEST_CASE("SQNR of Gaussian tokens at 4 bits, and what four more bits bring") {
  const std::pair<std::int64_t, double> facts[] = {{64, 20.8},   {1152, 17.95}, {2048, 17.5},
                                                   {3072, 17.3}, {4096, 17.1},  {8192, 16.7}};
  for (const auto& [d, db] : facts) {
    double gain[2];
    for (const int bits : {4, 8}) {
      // Pooled over 300 draws as in the specification, more for short tokens, whose own values scatter by 1 dB.
      const std::int64_t draws = d < 1000 ? 4000 : 300;
      const Matrix x = test::gaussian(draws, d, 31);
      Matrix q(draws, d);
      fake_quantize_rows(x.view(), asymmetric(bits), q.view());
      double signal = 0, error = 0;
      for (std::int64_t i = 0; i < draws; ++i)
        for (std::int64_t j = 0; j < d; ++j) {
          const double v = static_cast<double>(x.at(i, j)), e = static_cast<double>(q.at(i, j)) - v;
          signal += v * v;
          error += e * e;
        }
      gain[bits == 8] = 10 * std::log10(signal / error);
    }
    INFO("d " << d);
    CHECK(gain[0] == Approx(db).margin(0.1));
    CHECK(gain[1] - gain[0] == Approx(20 * std::log10(255.0 / 15)).margin(0.1));
  }
}
