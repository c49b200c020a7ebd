// Images as numbers: three channels (red, green, blue), either floats as networks give them or bytes as files hold
// them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace stamp {

// Planes one after the other: value (c, y, x) is values[(c * height + y) * width + x]. 0 is black, 1 full.
struct Image {
  std::int64_t height = 0, width = 0;
  std::vector<float> values;
  Image() = default;
  Image(std::int64_t h, std::int64_t w) : height(h), width(w), values(static_cast<std::size_t>(3 * h * w)) {}
  float& at(std::int64_t c, std::int64_t y, std::int64_t x) { return values[index(c, y, x)]; }
  float at(std::int64_t c, std::int64_t y, std::int64_t x) const { return values[index(c, y, x)]; }
  std::size_t index(std::int64_t c, std::int64_t y, std::int64_t x) const {
    return static_cast<std::size_t>((c * height + y) * width + x);
  }
};

// Pixels one after the other: byte (y, x, c) is bytes[(y * width + x) * 3 + c].
struct ByteImage {
  std::int64_t height = 0, width = 0;
  std::vector<std::uint8_t> bytes;
  ByteImage() = default;
  ByteImage(std::int64_t h, std::int64_t w) : height(h), width(w), bytes(static_cast<std::size_t>(3 * h * w)) {}
  std::uint8_t* pixel(std::int64_t y, std::int64_t x) { return bytes.data() + 3 * (y * width + x); }
  const std::uint8_t* pixel(std::int64_t y, std::int64_t x) const { return bytes.data() + 3 * (y * width + x); }
};

// round(255 x), halves to even, after values outside [0, 1] have been cut off; NaN becomes 0.
ByteImage to_bytes(const Image& image);
Image to_floats(const ByteImage& image);  // byte / 255
// What a decoder gives: `count` = 3 * height * width floats in [-1, 1], planes first, to [0, 1] as x / 2 + 0.5, cut
// off. std::logic_error: another count.
Image from_signed(const float* values, std::int64_t count, std::int64_t height, std::int64_t width);

}  // namespace stamp
