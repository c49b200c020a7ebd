#include "images/metrics.h"

#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

namespace stamp {
namespace {

void refuse_other_size(const Image& a, const Image& b) {
  if (a.height != b.height || a.width != b.width || a.values.empty())
    throw std::logic_error("two images are compared when they have the same size, and pixels");
}

constexpr std::int64_t kWindow = 11;

std::array<double, kWindow> window() {
  constexpr double sigma = 1.5;
  std::array<double, kWindow> weights{};
  double sum = 0;
  for (std::int64_t i = 0; i < kWindow; ++i) {
    const auto x = static_cast<double>(i - kWindow / 2);
    sum += weights[static_cast<std::size_t>(i)] = std::exp(-x * x / (2 * sigma * sigma));
  }
  for (double& w : weights) w /= sum;
  return weights;
}

// Weighted means over all windows that lie inside a plane of h x w values: (h - 10) x (w - 10).
std::vector<double> means(const std::vector<double>& plane, std::int64_t h, std::int64_t w) {
  static const std::array<double, kWindow> weights = window();
  const std::int64_t oh = h - kWindow + 1, ow = w - kWindow + 1;
  std::vector<double> rows(static_cast<std::size_t>(h * ow)), out(static_cast<std::size_t>(oh * ow));
  for (std::int64_t y = 0; y < h; ++y)
    for (std::int64_t x = 0; x < ow; ++x) {
      double sum = 0;
      for (std::int64_t k = 0; k < kWindow; ++k)
        sum += weights[static_cast<std::size_t>(k)] * plane[static_cast<std::size_t>(y * w + x + k)];
      rows[static_cast<std::size_t>(y * ow + x)] = sum;
    }
  for (std::int64_t y = 0; y < oh; ++y)
    for (std::int64_t x = 0; x < ow; ++x) {
      double sum = 0;
      for (std::int64_t k = 0; k < kWindow; ++k)
        sum += weights[static_cast<std::size_t>(k)] * rows[static_cast<std::size_t>((y + k) * ow + x)];
      out[static_cast<std::size_t>(y * ow + x)] = sum;
    }
  return out;
}

}  // namespace

double signal_to_noise_db(std::span<const float> reference, std::span<const float> other) {
  if (reference.size() != other.size() || reference.empty())
    throw std::logic_error("a ratio of signal to noise needs two lists of equal length, not empty");
  double signal = 0, noise = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const auto r = static_cast<double>(reference[i]), d = r - static_cast<double>(other[i]);
    signal += r * r;
    noise += d * d;
  }
  if (noise == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(signal / noise);
}

double psnr_db(const Image& reference, const Image& other) {
  refuse_other_size(reference, other);
  double sum = 0;
  for (std::size_t i = 0; i < reference.values.size(); ++i) {
    const double d = static_cast<double>(reference.values[i]) - static_cast<double>(other.values[i]);
    sum += d * d;
  }
  if (sum == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(static_cast<double>(reference.values.size()) / sum);
}

double ssim(const Image& reference, const Image& other) {
  refuse_other_size(reference, other);
  const std::int64_t h = reference.height, w = reference.width;
  if (h < kWindow || w < kWindow) throw std::logic_error("structural similarity needs 11 x 11 pixels or more");
  constexpr double c1 = 0.01 * 0.01, c2 = 0.03 * 0.03;
  double sum = 0;
  std::size_t count = 0;
  for (std::int64_t c = 0; c < 3; ++c) {
    const auto size = static_cast<std::size_t>(h * w), begin = static_cast<std::size_t>(c) * size;
    std::vector<double> a(size), b(size), aa(size), bb(size), ab(size);
    for (std::size_t i = 0; i < size; ++i) {
      a[i] = static_cast<double>(reference.values[begin + i]);
      b[i] = static_cast<double>(other.values[begin + i]);
      aa[i] = a[i] * a[i], bb[i] = b[i] * b[i], ab[i] = a[i] * b[i];
    }
    const auto ma = means(a, h, w), mb = means(b, h, w), maa = means(aa, h, w), mbb = means(bb, h, w),
               mab = means(ab, h, w);
    for (std::size_t i = 0; i < ma.size(); ++i) {
      const double va = maa[i] - ma[i] * ma[i], vb = mbb[i] - mb[i] * mb[i], cov = mab[i] - ma[i] * mb[i];
      sum += (2 * ma[i] * mb[i] + c1) * (2 * cov + c2) / ((ma[i] * ma[i] + mb[i] * mb[i] + c1) * (va + vb + c2));
    }
    count += ma.size();
  }
  return sum / static_cast<double>(count);
}

}  // namespace stamp
