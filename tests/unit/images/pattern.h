// Images by a formula that scripts/reference/images.py knows too.
#pragma once
#include "base/json.h"
#include "images/image.h"
#include "support/paths.h"
#include "support/scratch.h"

namespace stamp::test {

inline ByteImage pattern(std::int64_t height, std::int64_t width, std::int64_t seed) {
  ByteImage image(height, width);
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x)
      for (std::int64_t c = 0; c < 3; ++c) {
        const std::int64_t rough = (x * x * 31 + y * y * 17 + x * y * 7 + c * 101 + seed * 57) % 251;
        const std::int64_t smooth = (x * 5 + y * 3 + c * 40 + seed * 11) % 256;
        image.pixel(y, x)[c] = static_cast<std::uint8_t>((x / 8 + y / 8) % 2 == 0 ? rough : smooth);
      }
  return image;
}

inline const Json& golden() {
  static const Json json = Json::parse(slurp(repository() / "tests" / "golden" / "images.json"));
  return json;
}

inline std::string_view bytes_of(const ByteImage& image) {
  return {reinterpret_cast<const char*>(image.bytes.data()), image.bytes.size()};
}

}  // namespace stamp::test
