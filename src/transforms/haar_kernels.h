// The Haar recursion in place: at level j the rows p and p + 2^j (p a multiple of 2^(j+1)) become sum and difference
// over sqrt 2, an unpaired last row stays. Approximations end at multiples of 2^J, details in between; which
// transformed row that is, is the caller's business (Haar::output_row).
#pragma once
#include "base/matrix.h"

namespace stamp {

// x -> t, x.rows rows; t.stride is a multiple of the vector width (base/vector_width.h) and >= x.cols rounded up to
// one; padding columns become zero.
void haar_forward(ConstMatrixView x, int levels, MatrixView t);
// t (overwritten) -> out, out.rows rows. `stream`: out.data 64-byte aligned, out.stride and out.cols multiples of 16.
void haar_inverse(MatrixView t, int levels, MatrixView out, bool stream);

}  // namespace stamp
