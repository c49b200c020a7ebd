#include "transforms/levels.h"

#include <algorithm>

#include "transforms/haar.h"
#include "transforms/haar2d.h"
#include "transforms/wavelet.h"

namespace stamp {

std::optional<LevelCount> level_count(const std::string& transform, const SequenceTransformRequest& r) {
  const bool grid = transform == "haar2d", wavelet = transform == "wavelet";
  if (!grid && !wavelet && transform != "haar" && transform != "haar_packets") return std::nullopt;
  LevelCount count;
  count.most = grid      ? haar2d_most_levels(r.grid_height, r.grid_width)
               : wavelet ? wavelet_most_levels(r.options, r.tokens)
                         : haar_full_depth(r.tokens);
  if (const auto given = r.options.find("levels"); given != r.options.end() && given->is_number_integer()) {
    count.levels = given->get<std::int64_t>();
    return count;
  }
  count.assumes_rows = r.high_tokens <= 0;
  count.levels = grid ? haar2d_auto_levels(r.grid_height, r.grid_width, r.high_tokens)
                      : std::min(haar_auto_levels(r.tokens, r.high_tokens), count.most);
  return count;
}

}  // namespace stamp
