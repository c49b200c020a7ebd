// Image metrics against scikit-image (scripts/reference/images.py), and cases worked out by hand.
#include "images/metrics.h"

#include <cmath>

#include "pattern.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::test;

namespace {

// The second image of the script: the pattern with another one on top, faint.
ByteImage noisy() {
  const ByteImage base = pattern(23, 37, 1), other = pattern(23, 37, 2);
  ByteImage out = base;
  for (std::size_t i = 0; i < out.bytes.size(); ++i) {
    const int more = static_cast<int>(std::floor((static_cast<double>(other.bytes[i]) - 128) / 6));
    out.bytes[i] = static_cast<std::uint8_t>(std::clamp(static_cast<int>(base.bytes[i]) + more, 0, 255));
  }
  return out;
}

}  // namespace

TEST_CASE("PSNR, SSIM and the signal-to-noise ratio agree with scikit-image", "[images]") {
  const Image a = to_floats(pattern(23, 37, 1)), b = to_floats(noisy());
  const Json& expected = golden().at("similarity");
  CHECK(psnr_db(a, b) == Approx(expected.at("psnr").get<double>()).epsilon(1e-6));
  CHECK(ssim(a, b) == Approx(expected.at("ssim").get<double>()).epsilon(1e-6));
  CHECK(signal_to_noise_db(a.values, b.values) == Approx(expected.at("sqnr").get<double>()).epsilon(1e-6));
}

TEST_CASE("metrics of equal and of simple images", "[images]") {
  const Image a = to_floats(pattern(16, 16, 4));
  CHECK(std::isinf(psnr_db(a, a)));
  CHECK(ssim(a, a) == Approx(1.0));
  CHECK(std::isinf(signal_to_noise_db(a.values, a.values)));
  const float r[] = {3, 4}, x[] = {3, 3.5F}, zero[] = {0, 0};
  CHECK(signal_to_noise_db(r, x) == Approx(20.0));  // 25 against 0.25
  CHECK(signal_to_noise_db(zero, x) == -INFINITY);
  const float bad[] = {NAN, 0};
  CHECK(std::isnan(signal_to_noise_db(r, bad)));
  Image black(12, 12), grey(12, 12);
  for (float& v : grey.values) v = 0.1F;
  CHECK(psnr_db(black, grey) == Approx(20.0).epsilon(1e-6));
  CHECK(ssim(black, grey) == Approx(0.0001 / 0.0101).epsilon(1e-5));  // flat: only the means differ
}

TEST_CASE("images of other sizes are not compared", "[images]") {
  const Image a(12, 12), b(12, 13), small(10, 20);
  CHECK_THROWS_AS(psnr_db(a, b), std::logic_error);
  CHECK_THROWS_AS(ssim(small, small), std::logic_error);
  CHECK_THROWS_AS(signal_to_noise_db(a.values, b.values), std::logic_error);
}
