// Next-token losses from a block of logits. Specification models 5.1.
#pragma once
#include <cstdint>

#include "base/matrix.h"

namespace stamp {

// out[i] = log(sum_j exp(logits[i][j])) - logits[i][targets[i]], nats. Exponentials in float32, their sum in double.
// Targets are in [0, logits.cols). A NaN or infinite row gives NaN or infinity.
void token_losses(ConstMatrixView logits, const std::int64_t* targets, float* out);

}  // namespace stamp
