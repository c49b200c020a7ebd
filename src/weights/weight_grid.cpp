#include "weights/weight_grid.h"

namespace stamp {

WeightGrid weight_grid(const WeightSpec& spec) {
  WeightGrid grid;
  grid.bits = spec.bits;
  grid.symmetric = spec.symmetric;
  grid.clip_search = spec.clip_search;
  grid.group = spec.granularity == "group" ? spec.group_size : 0;
  return grid;
}

}  // namespace stamp
