// Orthonormal Haar wavelet on the grid that the tokens of an image fill line by line (token = y * width + x), J levels,
// rows [LL_J | HL_J LH_J HH_J | ... | HL_1 LH_1 HH_1], every band line by line. Specification methods 2.3 b, 2.4.
#pragma once
#include "transforms/sequence_transform.h"

namespace stamp {
SequenceTransformPlugin haar2d_plugin();
// How often both sides halve without a rest.
std::int64_t haar2d_most_levels(std::int64_t height, std::int64_t width);
// `levels: auto`: the fewest levels after which LL has at most k rows (0 = the published 64), as far as the sides
// halve.
std::int64_t haar2d_auto_levels(std::int64_t height, std::int64_t width, std::int64_t high_tokens);
}  // namespace stamp
