#include "images/size_bins.h"

#include <cmath>
#include <string>

#include "base/error.h"

namespace stamp {
namespace {

// The table of 1024; those of 256 and 512 are a quarter and a half of it.
const SizeBin kBins[] = {
    {0.25, {512, 2048}}, {0.28, {512, 1856}}, {0.32, {576, 1792}}, {0.33, {576, 1728}}, {0.35, {576, 1664}},
    {0.4, {640, 1600}},  {0.42, {640, 1536}}, {0.48, {704, 1472}}, {0.5, {704, 1408}},  {0.52, {704, 1344}},
    {0.57, {768, 1344}}, {0.6, {768, 1280}},  {0.68, {832, 1216}}, {0.72, {832, 1152}}, {0.78, {896, 1152}},
    {0.82, {896, 1088}}, {0.88, {960, 1088}}, {0.94, {960, 1024}}, {1.0, {1024, 1024}}, {1.07, {1024, 960}},
    {1.13, {1088, 960}}, {1.21, {1088, 896}}, {1.29, {1152, 896}}, {1.38, {1152, 832}}, {1.46, {1216, 832}},
    {1.67, {1280, 768}}, {1.75, {1344, 768}}, {2.0, {1408, 704}},  {2.09, {1472, 704}}, {2.4, {1536, 640}},
    {2.5, {1600, 640}},  {3.0, {1728, 576}},  {4.0, {2048, 512}}};
// Rows that only the table of 2048 (and twice of it) has besides.
const SizeBin kLargeBins[] = {{0.26, {1024, 3968}}, {0.27, {1024, 3840}}, {2.89, {3328, 1152}}, {3.11, {3584, 1152}},
                              {3.62, {3712, 1024}}, {3.75, {3840, 1024}}, {3.88, {3968, 1024}}};

SizeBin scaled(const SizeBin& bin, std::int64_t by, std::int64_t of) {
  return {bin.shape, {bin.size.height * by / of, bin.size.width * by / of}};
}

}  // namespace

std::vector<SizeBin> size_bins(std::int64_t side) {
  bool known = false;
  for (const std::int64_t one : {256, 512, 1024, 2048, 4096}) known = known || side == one;
  if (!known)
    throw DataError("there is no table of image sizes of about " + std::to_string(side) + " x " + std::to_string(side) +
                    " pixels; there are those of 256, 512, 1024, 2048 and 4096");
  std::vector<SizeBin> bins;
  for (const SizeBin& bin : kBins) bins.push_back(scaled(bin, side, 1024));
  if (side < 2048) return bins;
  for (const SizeBin& extra : kLargeBins) {
    auto place = bins.begin();
    while (place != bins.end() && place->shape < extra.shape) ++place;
    bins.insert(place, scaled(extra, side, 2048));
  }
  return bins;
}

ImageSize nearest_size(const std::vector<SizeBin>& bins, ImageSize wanted) {
  const double shape = static_cast<double>(wanted.height) / static_cast<double>(wanted.width);
  const SizeBin* best = nullptr;
  for (const SizeBin& bin : bins)
    if (!best || std::fabs(bin.shape - shape) < std::fabs(best->shape - shape)) best = &bin;
  return best ? best->size : wanted;
}

std::int64_t table_side(std::int64_t sample_size, std::int64_t pixels_per_latent) {
  const std::int64_t side = sample_size * pixels_per_latent;
  size_bins(side);
  return side;
}

}  // namespace stamp
