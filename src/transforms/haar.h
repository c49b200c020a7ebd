// Orthonormal Haar wavelet along the tokens, J levels, rows [a_J | d_J | ... | d_1]; any length (the last row of an
// odd level moves to the approximation unchanged). Specification methods 2.3 a, 2.4, 2.5.
#pragma once
#include "transforms/sequence_transform.h"

namespace stamp {
SequenceTransformPlugin haar_plugin();
std::int64_t haar_full_depth(std::int64_t tokens);  // levels until one approximation row is left
// `levels: auto`: the approximation band is not larger than the high-precision band, J = floor(log2(s / k)).
std::int64_t haar_auto_levels(std::int64_t tokens, std::int64_t high_tokens);
}  // namespace stamp
