// Hadamard matrices that are not powers of two, constructed instead of shipped. Specification methods 6.3.
#pragma once
#include <cstdint>

#include "transforms/feature_transform.h"

namespace stamp {
// n = order * 2^p: the base order `hadamard(n)` uses, 0 when no construction is known.
std::int64_t hadamard_base_order(std::int64_t n);
}  // namespace stamp
