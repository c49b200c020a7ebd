// Orthonormal wavelets other than Haar along the tokens, J levels, rows [a_J | d_J | ... | d_1], any length. Families
// and their taps: transforms/wavelet_filters.h; what happens at the ends: transforms/wavelet_levels.h.
#pragma once
#include "transforms/sequence_transform.h"

namespace stamp {
SequenceTransformPlugin wavelet_plugin();
// That the rows leave room for, with the options' family and boundary.
std::int64_t wavelet_most_levels(const Json& options, std::int64_t tokens);
}  // namespace stamp
