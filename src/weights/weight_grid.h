// The grid that a trial asks of its weights.
#pragma once
#include "config/spec.h"
#include "quant/grid.h"

namespace stamp {

WeightGrid weight_grid(const WeightSpec& spec);

}  // namespace stamp
