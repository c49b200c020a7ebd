// The next token from a row of logits: the likeliest, or a draw after temperature, top-k and top-p, in that order.
// Specification models 3.7.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace stamp {

struct TokenSampling {
  double temperature = 0;  // 0: greedy, the others do not matter
  std::int64_t top_k = 0;  // keep the k likeliest; 0: all. Ties with the k-th are kept
  double top_p = 1;        // keep the smallest set of likeliest tokens that together have this probability
  std::uint64_t seed = 0;
};

// Index of the largest value, the first of equal ones. `logits` has at least one value. TrialError ("nan_metric") when
// one is NaN or the largest is infinite.
std::int64_t likeliest(std::span<const float> logits);
// Probabilities that are left, one a token, in double; temperature > 0. The likeliest token is always left.
std::vector<double> probabilities(std::span<const float> logits, const TokenSampling& sampling);
// The draw of step `index`: a function of (seed, index) and the logits only.
std::int64_t next_token(std::span<const float> logits, const TokenSampling& sampling, std::uint64_t index);

}  // namespace stamp
