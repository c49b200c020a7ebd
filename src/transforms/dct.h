// Orthonormal DCT-II along the tokens, any length. Specification methods 2.3 c.
#pragma once
#include "transforms/sequence_transform.h"

namespace stamp {
SequenceTransformPlugin dct_plugin();
}
