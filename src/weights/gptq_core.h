// GPTQ of one linear layer, or of several that read the same input: quantize input channels one after the other and let
// the channels that follow make up for each error, as the Hessian of the output error says. Frantar et al. 2022,
// arXiv 2210.17323, algorithm 1 and section 3; specification methods 4.2.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/matrix.h"
#include "quant/grid.h"

namespace stamp {

struct GptqSettings {
  WeightGrid grid;                // group 0: one scale a row, from the whole row as it was
  bool act_order = false;         // channels with the largest activations first
  bool static_groups = false;     // scales of all groups from the weights as they were; groups of neighbours stay so
  double percdamp = 0.01;         // added to the diagonal, in means of the diagonal
  std::int64_t block_size = 128;  // channels between two updates of the rest; speed only
  std::int64_t damping_retries = 250;  // how often a tenth more damping is tried when the Hessian has no factor
};

// What the Hessian says about d input channels: computed once for all weights that read them.
struct GptqFactor {
  std::vector<std::int64_t> order;  // d: order[p] is the channel that comes p-th
  std::vector<std::int64_t> dead;   // channels that were zero in all of the calibration: their weights become zero
  std::vector<float> upper;         // d x d, row-major, channels in that order: H^-1 = U^T U, upper triangle
  double damping = 0;               // as percdamp, after retries
  std::int64_t retries = 0;
};

// hessian: d x d, row-major, (2 / n) X^T X. Factored in double, with the triangle of the reversed matrix inverted: one
// factorization, where chol(chol_inverse(chol(H))) takes two and an inverse. Peak memory 24 d^2 bytes.
// TrialError "calibration": values that are not finite, or no factor after all retries.
GptqFactor gptq_factor(std::vector<double> hessian, const GptqSettings& settings);

// weights: m_i x d, quantized in place; bits < 16. Returns sum (w - q)^2 / (2 U_jj^2), which is
// half the output error on the calibration rows (with damping) in units of the Hessian. TrialError "weights": a weight
// is not finite.
double gptq_quantize(std::span<const MatrixView> weights, const GptqFactor& factor, const GptqSettings& settings);

}  // namespace stamp
