#include "images/image.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace stamp {
namespace {

float within(float value) {
  return std::isnan(value) ? 0.0F : std::clamp(value, 0.0F, 1.0F);
}

}  // namespace

ByteImage to_bytes(const Image& image) {
  ByteImage out(image.height, image.width);
  for (std::int64_t y = 0; y < image.height; ++y)
    for (std::int64_t x = 0; x < image.width; ++x)
      for (std::int64_t c = 0; c < 3; ++c)
        out.pixel(y, x)[c] = static_cast<std::uint8_t>(std::nearbyint(255.0F * within(image.at(c, y, x))));
  return out;
}

Image to_floats(const ByteImage& image) {
  Image out(image.height, image.width);
  for (std::int64_t y = 0; y < image.height; ++y)
    for (std::int64_t x = 0; x < image.width; ++x)
      for (std::int64_t c = 0; c < 3; ++c) out.at(c, y, x) = static_cast<float>(image.pixel(y, x)[c]) / 255.0F;
  return out;
}

Image from_signed(const float* values, std::int64_t count, std::int64_t height, std::int64_t width) {
  if (count != 3 * height * width) throw std::logic_error("an image has three planes of height times width values");
  Image out(height, width);
  std::transform(values, values + count, out.values.begin(), [](float v) { return within(v / 2 + 0.5F); });
  return out;
}

}  // namespace stamp
