// How many levels a wavelet has: for the one that is made, and before it for warnings, marks and explanations.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "transforms/sequence_transform.h"

namespace stamp {

struct LevelCount {
  std::int64_t levels = 0;
  std::int64_t most = 0;      // that the rows, or the sides of the grid, allow
  bool assumes_rows = false;  // auto, and no number of high rows is known: the published one was taken
  bool mixes() const { return levels > 0; }
};
constexpr std::int64_t published_high_rows = 64;

// Of haar, haar2d, haar_packets and wavelet; nothing for transforms without levels. `levels` of the options is a
// number, or null, missing or "auto".
std::optional<LevelCount> level_count(const std::string& transform, const SequenceTransformRequest& request);

}  // namespace stamp
