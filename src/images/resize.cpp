#include "images/resize.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace stamp {
namespace {

void refuse_empty(ImageSize from, ImageSize to) {
  for (const std::int64_t n : {from.height, from.width, to.height, to.width})
    if (n < 1) throw std::logic_error("an image's sides have at least one pixel");
}

// Along one axis: two neighbours and the share of the second.
struct Between {
  std::int64_t low, high;
  float share;
};
std::vector<Between> between(std::int64_t from, std::int64_t to) {
  std::vector<Between> all(static_cast<std::size_t>(to));
  const float scale = static_cast<float>(from) / static_cast<float>(to);
  for (std::int64_t i = 0; i < to; ++i) {
    const float place = std::max(0.0F, scale * (static_cast<float>(i) + 0.5F) - 0.5F);
    const std::int64_t low = std::min(static_cast<std::int64_t>(place), from - 1);
    all[static_cast<std::size_t>(i)] = {low, std::min(low + 1, from - 1),
                                        std::clamp(place - static_cast<float>(low), 0.0F, 1.0F)};
  }
  return all;
}

double cubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

// Fixed-point weights of the pixels that make one new pixel.
struct Taps {
  std::int64_t first = 0;
  std::vector<std::int32_t> weights;
};
constexpr int kBits = 32 - 8 - 2;

std::vector<Taps> cubic_taps(std::int64_t from, std::int64_t to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to), spread = std::max(scale, 1.0);
  const double reach = 2 * spread;
  std::vector<Taps> all(static_cast<std::size_t>(to));
  for (std::int64_t i = 0; i < to; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const auto first = std::max<std::int64_t>(0, static_cast<std::int64_t>(centre - reach + 0.5));
    const auto end = std::min<std::int64_t>(from, static_cast<std::int64_t>(centre + reach + 0.5));
    std::vector<double> weights;
    double sum = 0;
    for (std::int64_t k = first; k < end; ++k) {
      weights.push_back(cubic((static_cast<double>(k) - centre + 0.5) * (1.0 / spread)));
      sum += weights.back();
    }
    Taps& taps = all[static_cast<std::size_t>(i)];
    taps.first = first;
    for (const double w : weights) {
      const double scaled = (sum != 0 ? w / sum : w) * (1 << kBits);
      taps.weights.push_back(static_cast<std::int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5));
    }
  }
  return all;
}

std::uint8_t byte_of(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kBits, 0, 255));
}

ByteImage cubic_rows(const ByteImage& image, std::int64_t width) {
  ByteImage out(image.height, width);
  const std::vector<Taps> taps = cubic_taps(image.width, width);
  for (std::int64_t y = 0; y < image.height; ++y)
    for (std::int64_t x = 0; x < width; ++x) {
      const Taps& t = taps[static_cast<std::size_t>(x)];
      for (std::int64_t c = 0; c < 3; ++c) {
        std::int32_t sum = 1 << (kBits - 1);
        for (std::size_t k = 0; k < t.weights.size(); ++k)
          sum += image.pixel(y, t.first + static_cast<std::int64_t>(k))[c] * t.weights[k];
        out.pixel(y, x)[c] = byte_of(sum);
      }
    }
  return out;
}

ByteImage cubic_columns(const ByteImage& image, std::int64_t height) {
  ByteImage out(height, image.width);
  const std::vector<Taps> taps = cubic_taps(image.height, height);
  for (std::int64_t y = 0; y < height; ++y) {
    const Taps& t = taps[static_cast<std::size_t>(y)];
    for (std::int64_t x = 0; x < image.width; ++x)
      for (std::int64_t c = 0; c < 3; ++c) {
        std::int32_t sum = 1 << (kBits - 1);
        for (std::size_t k = 0; k < t.weights.size(); ++k)
          sum += image.pixel(t.first + static_cast<std::int64_t>(k), x)[c] * t.weights[k];
        out.pixel(y, x)[c] = byte_of(sum);
      }
  }
  return out;
}

ImageSize corner_of_middle(ImageSize from, ImageSize to) {
  if (to.height < 1 || to.width < 1 || to.height > from.height || to.width > from.width)
    throw std::logic_error("the middle of " + std::to_string(from.height) + " x " + std::to_string(from.width) +
                           " pixels cannot have " + std::to_string(to.height) + " x " + std::to_string(to.width));
  return {(from.height - to.height) / 2, (from.width - to.width) / 2};
}

}  // namespace

Image resize_bilinear(const Image& image, ImageSize size) {
  refuse_empty({image.height, image.width}, size);
  Image out(size.height, size.width);
  const std::vector<Between> rows = between(image.height, size.height), columns = between(image.width, size.width);
  for (std::int64_t c = 0; c < 3; ++c)
    for (std::int64_t y = 0; y < size.height; ++y) {
      const Between& r = rows[static_cast<std::size_t>(y)];
      for (std::int64_t x = 0; x < size.width; ++x) {
        const Between& k = columns[static_cast<std::size_t>(x)];
        const float above = image.at(c, r.low, k.low) * (1 - k.share) + image.at(c, r.low, k.high) * k.share;
        const float below = image.at(c, r.high, k.low) * (1 - k.share) + image.at(c, r.high, k.high) * k.share;
        out.at(c, y, x) = above * (1 - r.share) + below * r.share;
      }
    }
  return out;
}

Image centre_crop(const Image& image, ImageSize size) {
  const ImageSize corner = corner_of_middle({image.height, image.width}, size);
  Image out(size.height, size.width);
  for (std::int64_t c = 0; c < 3; ++c)
    for (std::int64_t y = 0; y < size.height; ++y)
      for (std::int64_t x = 0; x < size.width; ++x) out.at(c, y, x) = image.at(c, corner.height + y, corner.width + x);
  return out;
}

ByteImage centre_crop(const ByteImage& image, ImageSize size) {
  return cut_out(image, corner_of_middle({image.height, image.width}, size), size);
}

ByteImage cut_out(const ByteImage& image, ImageSize corner, ImageSize size) {
  if (corner.height < 0 || corner.width < 0 || size.height < 1 || size.width < 1 ||
      corner.height + size.height > image.height || corner.width + size.width > image.width)
    throw std::logic_error("a part of an image lies inside it");
  ByteImage out(size.height, size.width);
  for (std::int64_t y = 0; y < size.height; ++y)
    std::copy_n(image.pixel(corner.height + y, corner.width), 3 * size.width, out.pixel(y, 0));
  return out;
}

Image resize_to_cover(const Image& image, ImageSize size) {
  if (ImageSize{image.height, image.width} == size) return image;
  refuse_empty({image.height, image.width}, size);
  const double ratio = std::max(static_cast<double>(size.height) / static_cast<double>(image.height),
                                static_cast<double>(size.width) / static_cast<double>(image.width));
  // The rounding down may lose a pixel that the request needs.
  const ImageSize covering = {
      std::max(size.height, static_cast<std::int64_t>(static_cast<double>(image.height) * ratio)),
      std::max(size.width, static_cast<std::int64_t>(static_cast<double>(image.width) * ratio))};
  return centre_crop(resize_bilinear(image, covering), size);
}

ByteImage resize_bicubic(const ByteImage& image, ImageSize size) {
  refuse_empty({image.height, image.width}, size);
  const ByteImage wide = size.width == image.width ? image : cubic_rows(image, size.width);
  return size.height == image.height ? wide : cubic_columns(wide, size.height);
}

ImageSize with_shortest_side(ImageSize size, std::int64_t shortest) {
  refuse_empty(size, {shortest, shortest});
  const auto longer = [&](std::int64_t other, std::int64_t shorter) {
    return static_cast<std::int64_t>(static_cast<double>(shortest * other) / static_cast<double>(shorter));
  };
  if (size.width <= size.height) return {longer(size.height, size.width), shortest};
  return {shortest, longer(size.width, size.height)};
}

}  // namespace stamp
