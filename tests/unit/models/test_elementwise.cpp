// Vectorised row kernels against plain loops in double.
#include "models/kernels/elementwise.h"

#include <cmath>
#include <limits>
#include <random>

#include "base/parallel.h"
#include "models/kernels/simd.h"
#include "support/catch.h"

using namespace stamp;

namespace {

struct Matrix {
  std::vector<float> values;
  std::int64_t rows, cols;
  Matrix(std::int64_t r, std::int64_t c, unsigned seed, float spread = 1)
      : values(static_cast<std::size_t>(r * c)), rows(r), cols(c) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal(0, spread);
    for (float& x : values) x = normal(generator);
  }
  MatrixView view() { return {values.data(), rows, cols, cols}; }
  double at(std::int64_t i, std::int64_t j) const {
    return static_cast<double>(values[static_cast<std::size_t>(i * cols + j)]);
  }
};

constexpr double eps = 1.0 / (1 << 24);  // relative rounding of one float32 operation

}  // namespace

TEST_CASE("exp2 stays within 2e-7 over its whole range") {
  double worst = 0;
  for (double x = -125.9; x < 127; x += 0.00137) {
    const auto argument = static_cast<float>(x);
    const float y = simd::exp2(simd::splat(argument))[3];
    worst = std::max(worst, std::abs(static_cast<double>(y) / std::exp2(static_cast<double>(argument)) - 1));
  }
  INFO(worst);
  CHECK(worst <= 2e-7);
  CHECK(simd::exp2(simd::splat(0))[0] == 1.0f);
  CHECK(simd::exp2(simd::splat(-1e30f))[0] <= 2e-38f);
  CHECK(simd::exp2(simd::splat(-std::numeric_limits<float>::infinity()))[0] <= 2e-38f);
  CHECK(std::isnan(simd::exp2(simd::splat(std::numeric_limits<float>::quiet_NaN()))[0]));
}

TEST_CASE("tanh stays within 4e-7 over its whole range") {
  double worst = 0;
  for (double x = -12; x < 12; x += 0.000173) {
    const auto argument = static_cast<float>(x);
    const double y = static_cast<double>(simd::tanh(simd::splat(argument))[3]);
    worst = std::max(worst, std::abs(y / std::tanh(static_cast<double>(argument)) - 1));
  }
  INFO(worst);
  CHECK(worst <= 4e-7);
  CHECK(simd::tanh(simd::splat(0))[0] == 0.0f);
  CHECK(simd::tanh(simd::splat(1e-30f))[0] == 1e-30f);
  for (const float far : {20.0f, 1e10f, std::numeric_limits<float>::infinity()}) {
    CHECK(simd::tanh(simd::splat(far))[0] == 1.0f);
    CHECK(simd::tanh(simd::splat(-far))[0] == -1.0f);
  }
  CHECK(std::isnan(simd::tanh(simd::splat(std::numeric_limits<float>::quiet_NaN()))[0]));
}

TEST_CASE("sums, maxima and partial loads of vectors") {
  constexpr int lanes = simd::width;
  float values[lanes];
  for (int i = 0; i < lanes; ++i) values[i] = static_cast<float>(i == 2 ? 50 : i);
  CHECK(simd::sum(simd::load(values)) == lanes * (lanes - 1) / 2 - 2 + 50);
  CHECK(simd::largest(simd::load(values)) == 50);
  CHECK(simd::sum(simd::load_part(values, 3, -1)) == 0 + 1 + 50 - (lanes - 3));
}

TEST_CASE("RMS norm, alone and with the residual sum in front") {
  for (const std::int64_t cols : {1, 15, 16, 48, 577}) {
    Matrix x(7, cols, 1, 30), y(7, cols, 2), weight(1, cols, 3), out(7, cols, 4), sum = x;
    rms_norm(x.view(), weight.values.data(), 1e-5f, out.view());
    Matrix fused(7, cols, 5);
    add_rms_norm(sum.view(), y.view(), weight.values.data(), 1e-5f, fused.view());
    Matrix plain = x;
    add(plain.view(), y.view());
    CHECK(plain.values == sum.values);
    for (const auto& [input, result] : {std::pair{&x, &out}, {&sum, &fused}})
      for (std::int64_t i = 0; i < 7; ++i) {
        double squares = 0;
        for (std::int64_t j = 0; j < cols; ++j) squares += input->at(i, j) * input->at(i, j);
        const double factor = 1 / std::sqrt(squares / static_cast<double>(cols) + 1e-5);
        for (std::int64_t j = 0; j < cols; ++j) {
          const double expected = input->at(i, j) * factor * weight.at(0, j);
          // cols / width additions a lane, then a handful of roundings.
          CHECK(std::abs(result->at(i, j) - expected) <=
                (static_cast<double>(cols) / simd::width + 8) * eps * std::abs(expected));
        }
      }
    rms_norm(x.view(), weight.values.data(), 1e-5f, x.view());
    CHECK(x.values == out.values);
  }
}

TEST_CASE("rotary embedding turns pairs half a head apart") {
  const std::vector<float> frequencies = {1.0f, 0.1f, 0.01f};
  const RopeTable table = rope_table(50, frequencies);
  Matrix x(50, 2 * 6, 9), before = x;
  apply_rope(x.view(), table);
  for (std::int64_t p = 0; p < 50; ++p)
    for (std::int64_t h = 0; h < 2; ++h)
      for (std::int64_t i = 0; i < 3; ++i) {
        const double angle = static_cast<double>(static_cast<float>(p) * frequencies[static_cast<std::size_t>(i)]);
        const double a = before.at(p, h * 6 + i), b = before.at(p, h * 6 + 3 + i);
        const double tolerance = 4 * eps * (std::abs(a) + std::abs(b));
        CHECK(std::abs(x.at(p, h * 6 + i) - (a * std::cos(angle) - b * std::sin(angle))) <= tolerance);
        CHECK(std::abs(x.at(p, h * 6 + 3 + i) - (b * std::cos(angle) + a * std::sin(angle))) <= tolerance);
      }
}

TEST_CASE("rows may begin at any position of the rotary table") {
  const RopeTable table = rope_table(40, {1.0f, 0.3f});
  Matrix whole(40, 8, 10), before = whole;
  apply_rope(whole.view(), table);
  for (const std::int64_t first : {0, 7, 39}) {
    Matrix part = before;
    const std::int64_t count = std::min<std::int64_t>(5, 40 - first);
    apply_rope({part.values.data() + first * 8, count, 8, 8}, table, first);
    for (std::int64_t i = 0; i < count * 8; ++i) {
      const auto at = static_cast<std::size_t>(first * 8 + i);
      CHECK(part.values[at] == whole.values[at]);
    }
  }
}

TEST_CASE("GELU's tanh approximation times the other half, far out too") {
  for (const std::int64_t cols : {1, 17, 80}) {
    Matrix gate(5, cols, 13, 3), up(5, cols, 14);
    gate.values[0] = -300;
    if (cols > 1) gate.values[1] = 300;
    const Matrix before = gate;
    gelu_tanh_multiply(gate.view(), up.view());
    for (std::int64_t i = 0; i < 5; ++i)
      for (std::int64_t j = 0; j < cols; ++j) {
        const double g = before.at(i, j), u = std::sqrt(2 / std::acos(-1.0)) * (g + 0.044715 * g * g * g);
        // 0.5 (1 + tanh u) written so that doubles do not cancel either.
        const double expected = g / (1 + std::exp(-2 * u)) * up.at(i, j);
        // The argument 2 u log2(e) carries a handful of roundings, each moving its exponential by |2 u| eps.
        CHECK(std::abs(gate.at(i, j) - expected) <= (10 + 8 * std::abs(u)) * eps * std::abs(expected) + 1e-34);
      }
  }
}

TEST_CASE("soft-capping bends large values and leaves small ones") {
  for (const float cap : {5.0f, 30.0f}) {
    Matrix x(3, 37, 15, 20), before = x;
    x.values[0] = before.values[0] = 1e-5f;
    x.values[1] = before.values[1] = 1e6f;
    soft_cap(x.view(), cap);
    for (std::int64_t i = 0; i < 3; ++i)
      for (std::int64_t j = 0; j < 37; ++j) {
        const double expected = static_cast<double>(cap) * std::tanh(before.at(i, j) / static_cast<double>(cap));
        CHECK(std::abs(x.at(i, j) - expected) <= 8e-7 * std::abs(expected));
      }
    CHECK(x.values[1] == cap);
  }
  Matrix y(2, 19, 16), scaled = y;
  scale_by(scaled.view(), 25.25f);
  for (std::size_t i = 0; i < y.values.size(); ++i) CHECK(scaled.values[i] == y.values[i] * 25.25f);
}

TEST_CASE("SiLU times the other half, far out too") {
  for (const std::int64_t cols : {1, 17, 80}) {
    Matrix gate(5, cols, 11, 8), up(5, cols, 12);
    gate.values[0] = -300;
    const Matrix before = gate;
    silu_multiply(gate.view(), up.view());
    for (std::int64_t i = 0; i < 5; ++i)
      for (std::int64_t j = 0; j < cols; ++j) {
        const double g = before.at(i, j);
        const double expected = g / (1 + std::exp(-g)) * up.at(i, j);
        // The argument g log2(e) is rounded once: its exponential moves by |g| eps log2(e) ln 2.
        CHECK(std::abs(gate.at(i, j) - expected) <= (8 + std::abs(g)) * eps * std::abs(expected) + 1e-34);
      }
  }
}

TEST_CASE("row kernels give the same numbers on one thread and on two") {
  const int before = threads();
  Matrix x(101, 48, 21), y(101, 48, 22), weight(1, 48, 23), a(101, 48, 24), b(101, 48, 25), x2 = x;
  set_threads(1);
  add_rms_norm(x.view(), y.view(), weight.values.data(), 1e-5f, a.view());
  set_threads(2);
  add_rms_norm(x2.view(), y.view(), weight.values.data(), 1e-5f, b.view());
  set_threads(before);
  CHECK(a.values == b.values);
  CHECK(x.values == x2.values);
}
