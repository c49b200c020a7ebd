// Karhunen-Loeve transform: the eigenvectors of E[X X^T] of calibration samples, largest eigenvalue first.
// Specification methods 2.3 e. The basis is made elsewhere (engine calibration) and handed in.
#pragma once
#include "transforms/sequence_transform.h"

namespace stamp {
SequenceTransformPlugin klt_plugin();
}
