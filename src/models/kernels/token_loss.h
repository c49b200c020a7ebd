// Next-token losses from a block of logits. Specification models 5.1.
#pragma once
#include <cstdint>
#include <limits>

#include "base/matrix.h"

namespace stamp {

// out[i] = log(sum_j exp(logits[i][j])) - logits[i][targets[i]], nats. Exponentials in float32, their sum in double.
// Targets are in [0, logits.cols). A NaN or infinite row gives NaN or infinity.
void token_losses(ConstMatrixView logits, const std::int64_t* targets, float* out);
// A loss whose row of logits comes in pieces of the vocabulary, in order.
struct RunningLoss {
  float top = -std::numeric_limits<float>::infinity();  // largest logit so far, of token `likeliest`, the first such
  double total = 0;                                     // sum of exponentials relative to it
  float target = 0;
  std::int64_t likeliest = -1;
  float value() const;  // once all pieces are in
};
// Adds logits of tokens first_id, first_id + 1, ...; one loss a row, targets anywhere in the vocabulary. One piece
// gives the bits of token_losses.
void add_logits(ConstMatrixView logits, std::int64_t first_id, const std::int64_t* targets, RunningLoss* losses);

}  // namespace stamp
