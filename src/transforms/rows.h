// Copies between a caller's rows and the padded, aligned tiles of the kernels.
#pragma once
#include "base/matrix.h"

namespace stamp {

// x -> t, columns x.cols.. up to the next multiple of the vector width become zero (t.stride is large enough).
void copy_rows_padded(ConstMatrixView x, MatrixView t);
// t -> out (out.cols columns). `stream`: around the caches; out.data 64-byte aligned, out.stride and out.cols
// multiples of 16.
void copy_rows_out(ConstMatrixView t, MatrixView out, bool stream);

}  // namespace stamp
