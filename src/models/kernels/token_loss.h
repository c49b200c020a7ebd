// Next-token losses from a block of logits. Specification models 5.1.
#pragma once
#include <cstdint>

#include "base/matrix.h"

namespace stamp {

// out[i] = log(sum_j exp(logits[i][j])) - logits[i][targets[i]], nats. Exponentials in float32, their sum in double.
// Targets are in [0, logits.cols). A NaN or infinite row gives NaN or infinity.
void token_losses(ConstMatrixView logits, const std::int64_t* targets, float* out);
// out[i] = 1 where targets[i] is the first of the largest logits of row i, else 0: greedy decoding would choose it.
void likeliest(ConstMatrixView logits, const std::int64_t* targets, std::int64_t* out);

}  // namespace stamp
