// Orthonormal DCT-II along both sides of the grid that the tokens of an image fill line by line, any sides.
// Coefficients (v, u), v along the height, come by u + v, ties by max(u, v), then by v. Specification methods 2.3 c.
#pragma once
#include "transforms/sequence_transform.h"

namespace stamp {
SequenceTransformPlugin dct2d_plugin();
}
