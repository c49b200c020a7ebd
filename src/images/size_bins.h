// The image sizes a text-to-image model was trained on: other requests are rendered at the one whose shape is nearest
// and resized. Specification: models 15.1, 15.2.
#pragma once
#include <cstdint>
#include <vector>

#include "images/resize.h"

namespace stamp {

struct SizeBin {
  double shape = 1;  // height / width as the table is searched, two digits
  ImageSize size;
};
// Tables with about `side` x `side` pixels: 256, 512, 1024, 2048 or 4096. By shape, widest first. DataError: another
// one.
std::vector<SizeBin> size_bins(std::int64_t side);
// The size whose shape is nearest to height / width; of equally near ones the wider.
ImageSize nearest_size(const std::vector<SizeBin>& bins, ImageSize wanted);

// `side` of the table that a model's sample_size selects: PixArt's 256, 128, 64 and 32 are 2048, 1024, 512 and 256
// (eight pixels to a latent), SANA's 128, 64, 32 and 16 are 4096, 2048, 1024 and 512 (thirty-two). DataError: another
// one.
std::int64_t table_side(std::int64_t sample_size, std::int64_t pixels_per_latent);

}  // namespace stamp
