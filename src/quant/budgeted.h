// Bits from calibrated energies at a fixed average: the published continuous rule and the exact integer optimum.
// Specification methods 2.6.
#pragma once
#include "quant/allocation.h"

namespace stamp {
AllocatorPlugin optimal_plugin();
AllocatorPlugin integer_plugin();
}  // namespace stamp
