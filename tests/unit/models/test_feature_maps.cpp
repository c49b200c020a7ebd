// Pieces of convolutional networks against plain loops in double.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cmath>
#include <random>

#include "models/vae/feature_maps.h"
#include "support/catch.h"

using namespace stamp;

namespace {

at::Tensor random(std::vector<std::int64_t> shape, unsigned seed, double mean = 0) {
  at::Tensor out = at::empty(shape, at::TensorOptions(at::kFloat));
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal(mean, 1);
  for (std::int64_t i = 0; i < out.numel(); ++i) out.data_ptr<float>()[i] = static_cast<float>(normal(generator));
  return out;
}
float at_pixel(const at::Tensor& x, std::int64_t channel, std::int64_t pixel) {
  return x.const_data_ptr<float>()[channel * x.size(2) * x.size(3) + pixel];
}

}  // namespace

TEST_CASE("The channel norm divides every pixel by the root mean square of its channels") {
  const at::Tensor x = random({1, 7, 19, 31}, 1), weight = random({7}, 2), bias = random({7}, 3);
  at::Tensor ours = x.clone();
  channel_rms_norm(ours, weight, bias, 1e-5F);
  double top = 0;
  for (std::int64_t p = 0; p < 19 * 31; ++p) {
    double squares = 0;
    for (std::int64_t c = 0; c < 7; ++c) squares += std::pow(at_pixel(x, c, p), 2);
    for (std::int64_t c = 0; c < 7; ++c) {
      const double want = at_pixel(x, c, p) / std::sqrt(squares / 7 + 1e-5) * weight.const_data_ptr<float>()[c] +
                          bias.const_data_ptr<float>()[c];
      top = std::max(top, std::abs(at_pixel(ours, c, p) - want));
    }
  }
  CHECK(top < 2e-6);
}

TEST_CASE("The group norm's factors and offsets make mean 0 and variance 1 in every group, far from zero too") {
  const at::Tensor x = random({1, 6, 13, 9}, 4, 40), weight = random({6}, 5), bias = random({6}, 6);
  const ChannelAffine affine = group_norm(x, 3, weight, bias, 1e-6);
  for (std::int64_t g = 0; g < 3; ++g) {
    double sum = 0, squares = 0;
    for (std::int64_t c = 2 * g; c < 2 * g + 2; ++c)
      for (std::int64_t p = 0; p < 13 * 9; ++p) sum += at_pixel(x, c, p);
    const double mean = sum / (2 * 13 * 9);
    for (std::int64_t c = 2 * g; c < 2 * g + 2; ++c)
      for (std::int64_t p = 0; p < 13 * 9; ++p) squares += std::pow(at_pixel(x, c, p) - mean, 2);
    const double inverse = 1 / std::sqrt(squares / (2 * 13 * 9) + 1e-6);
    for (std::int64_t c = 2 * g; c < 2 * g + 2; ++c) {
      const double w = weight.const_data_ptr<float>()[c], b = bias.const_data_ptr<float>()[c];
      CHECK(affine.factor.const_data_ptr<float>()[c] == Approx(w * inverse).epsilon(1e-6));
      CHECK(affine.offset.const_data_ptr<float>()[c] == Approx(b - mean * w * inverse).epsilon(1e-6));
    }
  }
}

TEST_CASE("Bands cover every row once and have the rows around them") {
  const at::Tensor x = random({1, 2, 11, 3}, 7);
  for (const std::int64_t rows : {1, 2, 3, 4, 10, 11, 20}) {
    for (const std::int64_t halo : {0, 1, 5}) {
      // What a row needs from its neighbours: their sum. The rows of the band itself stand for what a convolution sees.
      const auto sums = [&](const at::Tensor& band) {
        at::Tensor out = band.clone();
        for (std::int64_t r = 0; r < band.size(2); ++r)
          for (std::int64_t d = -halo; d <= halo; ++d)
            if (d != 0 && r + d >= 0 && r + d < band.size(2)) out.narrow(2, r, 1).add_(band.narrow(2, r + d, 1));
        return out;
      };
      const at::Tensor whole = sums(x), banded = map_bands(x, {rows, halo, 1}, 2, sums);
      CHECK(banded.sub(whole).abs().max().item<float>() < 1e-6F);
    }
  }
}

TEST_CASE("Bands of a work that doubles rows land where they belong") {
  const at::Tensor x = random({1, 2, 9, 4}, 8), whole = double_pixels(x);
  for (const std::int64_t rows : {1, 2, 4, 9}) CHECK(map_bands(x, {rows, 1, 2}, 2, double_pixels).equal(whole));
  CHECK(whole.size(2) == 18);
  CHECK(at_pixel(whole, 1, 3 * 8 + 5) == at_pixel(x, 1, 4 + 2));
}
