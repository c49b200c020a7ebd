// Softmax attention without a mask: every query sees every key. Blocked as causal_attention is, so that the memory is
// that of q, k and v however many tokens an image has. Specification models 9, 10.
#pragma once
#include "models/kernels/attention.h"

namespace stamp {

// q: s x (nh * hd); k, v: t x (nkv * hd), t >= 1; out: s x (nh * hd), may be q itself. shape.window has to be 0. The
// result does not depend on the number of threads.
void full_attention(ConstMatrixView q, ConstMatrixView k, ConstMatrixView v, const AttentionShape& shape,
                    MatrixView out);

}  // namespace stamp
