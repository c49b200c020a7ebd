// Uniform bits, and the published rule: k rows at high bits, the others at low bits. Specification methods 2.1, 2.6.
#pragma once
#include "quant/allocation.h"

namespace stamp {
AllocatorPlugin uniform_plugin();
AllocatorPlugin two_level_plugin();
// Average bits of the two-level rule with 64 rows at 8 bits, the budget that other rules are compared at.
double published_average(std::int64_t tokens, double low_bits);
RowBits uniform_bits(std::int64_t tokens, double bits);
}  // namespace stamp
