// Kernels of diffusion transformers against plain loops in double, and golden numbers of specification models 18.
#include "models/kernels/image_rows.h"

#include <cmath>
#include <random>

#include "models/kernels/full_attention.h"
#include "support/catch.h"

using namespace stamp;

namespace {

std::vector<float> normal(std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw;
  std::vector<float> out(static_cast<std::size_t>(count));
  for (float& value : out) value = draw(random);
  return out;
}

struct Matrix {
  std::int64_t rows, cols;
  std::vector<float> values;
  Matrix(std::int64_t r, std::int64_t c, unsigned seed) : rows(r), cols(c), values(normal(r * c, seed)) {}
  Matrix(std::int64_t r, std::int64_t c) : rows(r), cols(c), values(static_cast<std::size_t>(r * c)) {}
  MatrixView view() { return {values.data(), rows, cols, cols}; }
  double at(std::int64_t i, std::int64_t j) const {
    return static_cast<double>(values[static_cast<std::size_t>(i * cols + j)]);
  }
};

double plain_silu(double x) {
  return x / (1 + std::exp(-x));
}

}  // namespace

TEST_CASE("sinusoids of a timestep have their golden values") {
  const int at[] = {0, 1, 2, 127, 128, 129, 255};
  const double plain[] = {0.692831, 0.153414, 0.638949, 0.994935, 0.721100, -0.988162, 0.100521};
  const double shifted[] = {0.692831, -0.333368, 0.999148, 0.995613, 0.721100, -0.942797, 0.093563};
  const std::vector<float> a = number_sinusoid(937, 256, 0), b = number_sinusoid(937, 256, 1);
  for (std::size_t i = 0; i < 7; ++i) {
    // The angle, up to 937, has an error of half a unit in its last place: 3e-5.
    CHECK(static_cast<double>(a[static_cast<std::size_t>(at[i])]) == Approx(plain[i]).margin(3e-5));
    CHECK(static_cast<double>(b[static_cast<std::size_t>(at[i])]) == Approx(shifted[i]).margin(3e-5));
  }
}

TEST_CASE("position tables have their golden values: columns first, rows second") {
  const std::vector<float> small = position_table(24, 6, 10, 8, 2);
  for (int i = 0; i < 24; ++i) CHECK(small[static_cast<std::size_t>(i)] == (i / 6 % 2 == 0 ? 0.0f : 1.0f));
  const double token[] = {0.932039, 0.255662, 0.055670, 0.012000, 0.002585, 0.000557, 0.362358, 0.966766,
                          0.998449, 0.999928, 0.999997, 1.0,      0.971938, 0.283324, 0.061848, 0.013333,
                          0.002873, 0.000619, 0.235238, 0.959024, 0.998086, 0.999911, 0.999996, 1.0};
  for (std::size_t i = 0; i < 24; ++i)
    CHECK(static_cast<double>(small[(2 * 10 + 3) * 24 + i]) == Approx(token[i]).margin(1e-6));
  const std::vector<float> large = position_table(1152, 64, 64, 64, 2);
  const int at[] = {0, 1, 287, 288, 289, 575, 576, 577, 864};
  const double values[] = {-0.350783, -0.245705, 0.000361, -0.936457, -0.969345, 1.0, 0.598472, 0.659594, -0.801144};
  for (std::size_t i = 0; i < 9; ++i)
    CHECK(static_cast<double>(large[(5 * 64 + 7) * 1152 + static_cast<std::size_t>(at[i])]) ==
          Approx(values[i]).margin(1e-6));
}

TEST_CASE("every query of full attention sees every key") {
  struct Size {
    std::int64_t queries, keys, heads, head_dim;
  };
  for (const Size& s :
       {Size{1, 1, 1, 8}, Size{2, 77, 3, 8}, Size{60, 7, 3, 8}, Size{200, 131, 2, 72}, Size{97, 300, 1, 20}}) {
    Matrix q(s.queries, s.heads * s.head_dim, 1), k(s.keys, q.cols, 2), v(s.keys, q.cols, 3), out(q.rows, q.cols);
    AttentionShape shape;
    shape.heads = shape.kv_heads = s.heads;
    shape.head_dim = s.head_dim;
    shape.scale = 0.4f;
    full_attention(q.view(), k.view(), v.view(), shape, out.view());
    double worst = 0;
    for (std::int64_t i = 0; i < s.queries; ++i)
      for (std::int64_t h = 0; h < s.heads; ++h) {
        std::vector<double> weights;
        double total = 0;
        for (std::int64_t n = 0; n < s.keys; ++n) {
          double score = 0;
          for (std::int64_t d = 0; d < s.head_dim; ++d)
            score += q.at(i, h * s.head_dim + d) * k.at(n, h * s.head_dim + d);
          weights.push_back(std::exp(score * static_cast<double>(shape.scale)));
          total += weights.back();
        }
        for (std::int64_t d = 0; d < s.head_dim; ++d) {
          double sum = 0;
          for (std::int64_t n = 0; n < s.keys; ++n)
            sum += weights[static_cast<std::size_t>(n)] * v.at(n, h * s.head_dim + d);
          worst = std::max(worst, std::abs(sum / total - out.at(i, h * s.head_dim + d)));
        }
      }
    INFO(s.queries << " queries, " << s.keys << " keys");
    // Scores of size 10 with float32 rounding: 1e-6 of them shifts a weight by as much.
    CHECK(worst < 1e-5);
    full_attention(q.view(), k.view(), v.view(), shape, q.view());  // in place
    CHECK(q.values == out.values);
  }
}

TEST_CASE("linear attention is its formula") {
  const std::int64_t tokens = 37, heads = 3, hd = 5, width = heads * hd;
  Matrix q(tokens, width, 4), k(tokens, width, 5), v(tokens, width, 6), out(tokens, width);
  linear_attention(q.view(), k.view(), v.view(), hd, out.view());
  const auto relu = [](double x) { return std::max(x, 0.0); };
  for (std::int64_t n = 0; n < tokens; ++n)
    for (std::int64_t h = 0; h < heads; ++h)
      for (std::int64_t j = 0; j < hd; ++j) {
        double above = 0, below = 0;
        for (std::int64_t m = 0; m < tokens; ++m) {
          double product = 0;
          for (std::int64_t i = 0; i < hd; ++i) product += relu(q.at(n, h * hd + i)) * relu(k.at(m, h * hd + i));
          above += product * v.at(m, h * hd + j);
          below += product;
        }
        CHECK(out.at(n, h * hd + j) == Approx(above / (below + 1e-15)).margin(1e-5));
      }
  // A query without a positive entry sees nothing, and nothing is not a number divided by zero.
  for (float& value : q.values) value = -1;
  linear_attention(q.view(), k.view(), v.view(), hd, out.view());
  for (const float value : out.values) CHECK(value == 0.0f);
  q.values[0] = std::nanf("");
  linear_attention(q.view(), k.view(), v.view(), hd, out.view());
  CHECK(std::isnan(out.values[0]));
}

TEST_CASE("the convolution between SANA's layers has zeros around the grid and gates with its second half") {
  for (const auto& [lines, columns] : {std::pair<std::int64_t, std::int64_t>{4, 6}, {1, 5}, {5, 1}}) {
    const std::int64_t half = 19;
    Matrix u(lines * columns, 2 * half, 7), weight(9, 2 * half, 8), bias(1, 2 * half, 9), out(u.rows, half);
    depthwise_gate(u.view(), columns, weight.values.data(), bias.values.data(), out.view());
    for (std::int64_t y = 0; y < lines; ++y)
      for (std::int64_t x = 0; x < columns; ++x)
        for (std::int64_t j = 0; j < half; ++j) {
          const auto convolved = [&](std::int64_t channel) {
            double sum = bias.at(0, channel);
            for (std::int64_t dy = -1; dy <= 1; ++dy)
              for (std::int64_t dx = -1; dx <= 1; ++dx)
                if (y + dy >= 0 && y + dy < lines && x + dx >= 0 && x + dx < columns)
                  sum += weight.at((dy + 1) * 3 + dx + 1, channel) * u.at((y + dy) * columns + x + dx, channel);
            return sum;
          };
          CHECK(out.at(y * columns + x, j) == Approx(convolved(j) * plain_silu(convolved(half + j))).margin(2e-5));
        }
  }
}

TEST_CASE("modulated norms and gates are their formulas, rows far from zero included") {
  for (const std::int64_t width : {24, 37, 1152}) {
    Matrix x(5, width, 10), shift(1, width, 11), scale(1, width, 12), out(5, width), y(5, width, 13);
    for (std::int64_t j = 0; j < width; ++j) x.values[static_cast<std::size_t>(width + j)] += 100;
    modulated_norm(x.view(), shift.values.data(), scale.values.data(), 1e-6f, out.view());
    double worst = 0;
    for (std::int64_t i = 0; i < 5; ++i) {
      double mean = 0, variance = 0;
      for (std::int64_t j = 0; j < width; ++j) mean += x.at(i, j) / static_cast<double>(width);
      for (std::int64_t j = 0; j < width; ++j) variance += std::pow(x.at(i, j) - mean, 2) / static_cast<double>(width);
      for (std::int64_t j = 0; j < width; ++j) {
        const double z = (x.at(i, j) - mean) / std::sqrt(variance + 1e-6);
        worst = std::max(worst, std::abs(z * scale.at(0, j) + shift.at(0, j) - out.at(i, j)));
      }
    }
    CHECK(worst < 1e-4);  // 100 has steps of 8e-6, and factors reach 4
    const Matrix before = x;
    add_gated(x.view(), scale.values.data(), y.view());
    for (std::int64_t i = 0; i < 5; ++i)
      for (std::int64_t j = 0; j < width; ++j)
        CHECK(x.at(i, j) == Approx(before.at(i, j) + scale.at(0, j) * y.at(i, j)).margin(1e-5));
  }
}

TEST_CASE("activations are their formulas") {
  Matrix x(3, 37, 14);
  x.values[0] = -200;
  x.values[1] = 200;
  Matrix a = x, b = x;
  silu(a.view());
  gelu_tanh(b.view());
  for (std::int64_t i = 0; i < 3; ++i)
    for (std::int64_t j = 0; j < 37; ++j) {
      const double v = x.at(i, j), u = 0.7978845608028654 * (v + 0.044715 * v * v * v);
      CHECK(a.at(i, j) == Approx(plain_silu(v)).epsilon(1e-6).margin(1e-7));
      CHECK(b.at(i, j) == Approx(0.5 * v * (1 + std::tanh(u))).epsilon(1e-6).margin(1e-6));
    }
}

TEST_CASE("patches are cut channel by channel and joined with channels innermost") {
  const std::int64_t channels = 3, height = 4, width = 6, patch = 2;
  const std::vector<float> image = normal(channels * height * width, 15);
  const auto pixel = [&](std::int64_t c, std::int64_t y, std::int64_t x) {
    return image[static_cast<std::size_t>((c * height + y) * width + x)];
  };
  Matrix rows(6, channels * patch * patch);
  cut_patches(image.data(), channels, height, width, patch, rows.view());
  for (std::int64_t n = 0; n < 6; ++n)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t y = 0; y < patch; ++y)
        for (std::int64_t x = 0; x < patch; ++x)
          CHECK(rows.view().row(n)[(c * patch + y) * patch + x] == pixel(c, n / 3 * 2 + y, n % 3 * 2 + x));
  Matrix other(6, channels * patch * patch);
  for (std::int64_t n = 0; n < 6; ++n)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t p = 0; p < patch * patch; ++p)
        other.view().row(n)[p * channels + c] = rows.view().row(n)[c * patch * patch + p];
  std::vector<float> again(image.size());
  join_patches(other.view(), channels, height, width, patch, again.data());
  CHECK(again == image);
}
