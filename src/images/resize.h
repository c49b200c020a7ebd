// Other sizes of an image. Specification: models 8, 15.1.
#pragma once
#include <cstdint>

#include "images/image.h"

namespace stamp {

struct ImageSize {
  std::int64_t height = 0, width = 0;
  bool operator==(const ImageSize&) const = default;
};

// Linear between the four pixels around a place, pixel centres at half integers, no filter before shrinking: what
// PyTorch calls bilinear with align_corners = antialias = false. std::logic_error: a size below 1.
Image resize_bilinear(const Image& image, ImageSize size);
// The middle of an image, one pixel further up or left where it does not come out even. std::logic_error: larger than
// it.
Image centre_crop(const Image& image, ImageSize size);
ByteImage centre_crop(const ByteImage& image, ImageSize size);
// The part of an image whose upper left pixel is `corner`. std::logic_error: not inside it.
ByteImage cut_out(const ByteImage& image, ImageSize corner, ImageSize size);
// Resized so that it covers `size`, then cropped to it; sizes in between are rounded down.
Image resize_to_cover(const Image& image, ImageSize size);

// Cubic (a = -1/2) over as many pixels as one of the new ones covers, rounded to bytes after the horizontal and again
// after the vertical pass: bit for bit what Pillow before 13 makes of an 8-bit image. Pillow 13 takes the vertical pass
// first for some sizes, which moves pixels at sharp edges.
ByteImage resize_bicubic(const ByteImage& image, ImageSize size);
// The size whose shorter side is `shortest`, the longer one rounded down.
ImageSize with_shortest_side(ImageSize size, std::int64_t shortest);

}  // namespace stamp
