// Closed-loop prediction along the tokens: the strictly causal counterpart of a sequence transform.
//
// A causal orthonormal transform does not exist: a lower-triangular orthonormal matrix is diagonal. A causal transform
// that is not orthonormal, L = I - a S with S the shift by one token, predicts token t by a times token t - 1;
// quantizing L X and undoing L afterwards ("open loop") adds up the errors of all earlier tokens, up to ||L^-1||^2 = 1
// / (1 - a)^2 times the error of the rows. So the prediction here is made from what the other side has already: r_t =
// x_t - a x^_{t-1} is quantized, x^_t = a x^_{t-1} + Q(r_t). Then x^_t - x_t = Q(r_t) - r_t: every row's own error and
// nothing else (N. S. Jayant and P. Noll, Digital Coding of Waveforms, 1984, on differential coding).
//
// It commutes with a linear layer like L: y_t = a y_{t-1} + W Q(r_t) is computed from quantized rows alone, 2 s m
// flops. Token t is a function of tokens 0 .. t: nothing leaks. The price: rows follow one another, so quantizing is
// serial in t (parallel over features), and a large feature of token t - 1 must not enter a token that does not have
// it. Therefore every token takes the one of a few factors that leaves the smallest ranges, an index beside its scales.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/matrix.h"
#include "quant/allocation.h"
#include "quant/sequence_quantizer.h"

namespace stamp {

struct PredictiveGrid {
  ActivationGrid grid;
  // Candidates a for every token, at least one; 0 is "no prediction" and ties go to the earlier candidate.
  std::vector<float> factors{0.0f, 1.0f};
};

// x and out: s x d, out may be x itself. bits: s values, not dynamic. `chosen`, when not null, gets the index of every
// token's factor. `statistics` (may be null) is added to: energies and ranges of the residuals r_t, the signal ||X||^2.
// Token 0 has nothing behind it and takes the first factor. std::logic_error for misuse.
void quantize_predictive(ConstMatrixView x, const RowBits& bits, const PredictiveGrid& grid, MatrixView out,
                         SlotStatistics* statistics, std::vector<std::int64_t>* chosen = nullptr);

// The factor that leaves the least energy in x_t - a x_{t-1}: sum of products of neighbours over sum of squares of the
// earlier ones; 0 for fewer than two tokens or nothing but zeros.
double best_prediction_factor(ConstMatrixView x);

}  // namespace stamp
