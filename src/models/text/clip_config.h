// CLIP: configuration. Specification: models 8.
#pragma once
#include <cstdint>

#include "formats/checkpoint.h"

namespace stamp {

struct ClipTowerConfig {
  std::int64_t width = 0, layers = 0, heads = 0, feed_forward = 0;
  double eps = 1e-5;
  bool quick_gelu = true;  // else the exact one
};
struct ClipConfig {
  ClipTowerConfig text, vision;
  std::int64_t vocabulary = 0, positions = 0;  // of the text tower
  std::int64_t end_token = -1;                 // -1: old files, where the largest id ends a text
  std::int64_t image_side = 0, patch = 0;      // of the vision tower, pixels
  std::int64_t projection = 0;
  std::int64_t patches() const { return image_side / patch; }  // along one side
};
// config.json with text_config and vision_config. DataError: missing or impossible values, another activation.
ClipConfig read_clip_config(const Checkpoint& checkpoint);

}  // namespace stamp
