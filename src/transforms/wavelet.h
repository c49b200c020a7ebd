// Orthonormal wavelets other than Haar along the tokens, J levels, rows [a_J | d_J | ... | d_1], any length. Families
// and their taps: transforms/wavelet_filters.h; what happens at the ends: transforms/wavelet_levels.h.
#pragma once
#include "transforms/sequence_transform.h"

namespace stamp {
SequenceTransformPlugin wavelet_plugin();
}
