#include "decoding/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/seed.h"

namespace stamp {
namespace {

constexpr double removed = -std::numeric_limits<double>::infinity();

void softmax(std::vector<double>& scores) {
  const double top = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (double& s : scores) sum += s = std::exp(s - top);
  for (double& s : scores) s /= sum;
}

void keep_top_k(std::vector<double>& scores, std::int64_t k) {
  if (k <= 0 || k >= static_cast<std::int64_t>(scores.size())) return;
  std::vector<double> sorted = scores;
  std::nth_element(sorted.begin(), sorted.begin() + (k - 1), sorted.end(), std::greater<>());
  const double least = sorted[static_cast<std::size_t>(k - 1)];
  for (double& s : scores)
    if (s < least) s = removed;
}

void keep_top_p(std::vector<double>& scores, double p) {
  if (p >= 1) return;
  std::vector<double> shares = scores;
  softmax(shares);
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  // Least likely first: a token goes while those up to it have at most 1 - p together, and the last one never does.
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return shares[a] < shares[b]; });
  double sum = 0;
  for (std::size_t i = 0; i + 1 < order.size(); ++i) {
    sum += shares[order[i]];
    if (sum > 1 - p) break;
    scores[order[i]] = removed;
  }
}

}  // namespace

std::int64_t likeliest(std::span<const float> logits) {
  std::size_t best = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i])) best = i;
    if (std::isnan(logits[best])) break;
    if (logits[i] > logits[best]) best = i;
  }
  if (!std::isfinite(logits[best]))
    throw TrialError("nan_metric", "the logits of the next token are not finite numbers");
  return static_cast<std::int64_t>(best);
}

std::vector<double> probabilities(std::span<const float> logits, const TokenSampling& sampling) {
  std::vector<double> scores(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) scores[i] = static_cast<double>(logits[i]) / sampling.temperature;
  keep_top_k(scores, sampling.top_k);
  keep_top_p(scores, sampling.top_p);
  softmax(scores);
  return scores;
}

std::int64_t next_token(std::span<const float> logits, const TokenSampling& sampling, std::uint64_t index) {
  const std::int64_t best = likeliest(logits);
  if (sampling.temperature <= 0) return best;
  const std::vector<double> shares = probabilities(logits, sampling);
  double left = RandomStream(sampling.seed, "sampling", index).uniform();
  std::int64_t last = best;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    if (shares[i] <= 0) continue;
    last = static_cast<std::int64_t>(i);
    if (left < shares[i]) return last;
    left -= shares[i];
  }
  return last;  // rounding left a rest
}

}  // namespace stamp
