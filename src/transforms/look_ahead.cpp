#include "transforms/look_ahead.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace stamp {
namespace {

// Welford's running mean: losses may be many and alike.
class Running {
 public:
  void add(double v) {
    ++count_;
    const double d = v - mean_;
    mean_ += d / static_cast<double>(count_);
    squares_ += d * (v - mean_);
  }
  LossGroup group() const {
    const auto n = static_cast<double>(count_);
    return {count_, mean_, count_ > 1 ? std::sqrt(squares_ / (n - 1) / n) : 0.0};
  }

 private:
  std::int64_t count_ = 0;
  double mean_ = 0, squares_ = 0;
};

void check(std::span<const double> losses, std::int64_t window) {
  if (window < 1 || losses.size() % static_cast<std::size_t>(window) != 0)
    throw std::logic_error(std::to_string(losses.size()) + " losses are not windows of " + std::to_string(window));
}

}  // namespace

std::vector<std::int64_t> look_ahead(const SequenceTransform& l) {
  const auto s = static_cast<std::size_t>(l.tokens());
  const std::vector<double> m = l.matrix();
  // A Fourier or Gram-Schmidt entry that should be zero is a rounding error.
  const auto mixed = [](double v) { return std::fabs(v) > 1e-12; };
  std::vector<std::int64_t> ahead(s, 0);
  for (std::size_t row = 0; row < s; ++row) {
    std::size_t last = s;
    while (last > 0 && !mixed(m[row * s + last - 1])) --last;
    for (std::size_t t = 0; t < last; ++t)
      if (mixed(m[row * s + t])) ahead[t] = std::max(ahead[t], static_cast<std::int64_t>(last - 1 - t));
  }
  return ahead;
}

// The metric `leak` has a D2 of its own, parity_losses (eval/leak.h): means of one window, in which a last left member
// counts though its right one has no loss. From sums, so that neither function can be made of the other to the bit.
ParitySplit parity_split(std::span<const double> losses, std::int64_t window, std::int64_t skip) {
  check(losses, window);
  if (skip < 0) throw std::logic_error("parity_split: " + std::to_string(skip) + " skipped tokens");
  Running left, right, unpaired, difference;
  const auto one = [](Running& to, double loss) {
    if (std::isfinite(loss)) to.add(loss);
  };
  for (std::size_t begin = 0; begin < losses.size(); begin += static_cast<std::size_t>(window)) {
    const double* loss = losses.data() + begin;
    for (std::int64_t t = 0; t < std::min(skip, window); ++t) one(unpaired, loss[t]);
    for (std::int64_t t = skip; t < window; t += 2) {
      if (t + 1 >= window) {  // no second position: carried, or the last token, which is asked for nothing
        one(unpaired, loss[t]);
        continue;
      }
      if (!std::isfinite(loss[t]) || !std::isfinite(loss[t + 1])) continue;
      left.add(loss[t]);
      right.add(loss[t + 1]);
      difference.add(loss[t + 1] - loss[t]);
    }
  }
  return {left.group(), right.group(), unpaired.group(), difference.group()};
}

LookAheadSplit look_ahead_split(std::span<const double> losses, std::int64_t window,
                                std::span<const std::int64_t> ahead) {
  check(losses, window);
  if (static_cast<std::int64_t>(ahead.size()) < window)
    throw std::logic_error("look_ahead_split: the look-ahead of " + std::to_string(ahead.size()) + " tokens for " +
                           std::to_string(window) + " positions");
  Running seeing, blind;
  for (std::size_t i = 0; i < losses.size(); ++i)
    if (std::isfinite(losses[i])) (ahead[i % static_cast<std::size_t>(window)] >= 1 ? seeing : blind).add(losses[i]);
  return {seeing.group(), blind.group()};
}

}  // namespace stamp
