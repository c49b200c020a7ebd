// The largest single allocation of this program since the last reset, seen through the global operator new.
#pragma once
#include <cstddef>

namespace stamp::test {
void reset_largest_allocation();
std::size_t largest_allocation();
}  // namespace stamp::test
