// Walsh-Hadamard transform along the tokens in sequency order (by number of sign changes), s = 2^m only.
// Specification methods 2.3 d.
#pragma once
#include "transforms/sequence_transform.h"

namespace stamp {
SequenceTransformPlugin wht_plugin();
}
