#include "quant/predictive.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "quant/kernels.h"
#include "quant/row_sums.h"

namespace stamp {
namespace {

// x - a * before, and the sum over groups of (values) r^2 that decides between factors.
double residual(const float* x, const float* before, float a, std::int64_t d, std::int64_t group, float* r) {
#pragma omp simd
  for (std::int64_t j = 0; j < d; ++j) r[j] = x[j] - a * before[j];
  double spread = 0;
  for (std::int64_t c = 0; c < d; c += group) {
    const std::int64_t n = std::min(group, d - c);
    const kernels::Range range = kernels::measure(r + c, n);
    const double width = static_cast<double>(range.high) - static_cast<double>(range.low);
    spread += static_cast<double>(n) * width * width;
  }
  return spread;
}

}  // namespace

void quantize_predictive(ConstMatrixView x, const RowBits& bits, const PredictiveGrid& settings, MatrixView out,
                         SlotStatistics* statistics, std::vector<std::int64_t>* chosen) {
  const std::int64_t s = x.rows, d = x.cols;
  if (out.rows != s || out.cols != d || static_cast<std::int64_t>(bits.bits.size()) != s)
    throw std::logic_error("quantize_predictive: input " + std::to_string(s) + " x " + std::to_string(d) + ", output " +
                           std::to_string(out.rows) + " x " + std::to_string(out.cols) + ", bits for " +
                           std::to_string(bits.bits.size()) + " rows");
  if (bits.dynamic || settings.factors.empty())
    throw std::logic_error("quantize_predictive: needs bits that are known before the rows, and a factor");
  if (s == 0 || d == 0) return;
  const ActivationGrid& grid = settings.grid;
  const std::int64_t group = group_width(grid.group, d);
  std::vector<float> before(static_cast<std::size_t>(d), 0.0f), best(before.size()), other(before.size());
  std::vector<RowSums> rows(static_cast<std::size_t>(s));
  if (chosen) chosen->assign(static_cast<std::size_t>(s), 0);
  double signal = 0;
  for (std::int64_t t = 0; t < s; ++t) {
    float factor = settings.factors[0];
    double least = residual(x.row(t), before.data(), factor, d, group, best.data());
    for (std::size_t i = 1; t > 0 && i < settings.factors.size(); ++i) {
      const double spread = residual(x.row(t), before.data(), settings.factors[i], d, group, other.data());
      if (!(spread < least)) continue;  // a range that is no number never wins
      least = spread;
      factor = settings.factors[i];
      std::swap(best, other);
      if (chosen) (*chosen)[static_cast<std::size_t>(t)] = static_cast<std::int64_t>(i);
    }
    const float row_bits = bits.bits[static_cast<std::size_t>(t)];
    const std::int64_t steps = row_steps(row_bits);
    for (std::int64_t c = 0; c < d; c += group) {
      const std::int64_t n = std::min(group, d - c);
      const kernels::Range range = kernels::measure(best.data() + c, n);
      const double b = static_cast<double>(row_bits);
      const kernels::Scale scale =
          kernels::make_scale(range, steps, grid.symmetric, grid.clip_low(b), grid.clip_high(b));
      const double error = kernels::apply(best.data() + c, n, scale, best.data() + c);
      rows[static_cast<std::size_t>(t)].add_group(range, n, steps, error);
    }
    for (std::int64_t j = 0; j < d; ++j) {
      const auto v = static_cast<double>(x.row(t)[j]);
      signal += v * v;
      before[static_cast<std::size_t>(j)] =
          factor * before[static_cast<std::size_t>(j)] + best[static_cast<std::size_t>(j)];
    }
    std::copy(before.begin(), before.end(), out.row(t));
  }
  if (!statistics) return;
  SlotStatistics one;
  add_sample(one, rows, bits.bits, d, group);
  one.signal = signal;  // of the tokens; the residuals have less
  statistics->merge(one);
}

double best_prediction_factor(ConstMatrixView x) {
  double products = 0, squares = 0;
  for (std::int64_t t = 1; t < x.rows; ++t)
    for (std::int64_t j = 0; j < x.cols; ++j) {
      const auto now = static_cast<double>(x.row(t)[j]), before = static_cast<double>(x.row(t - 1)[j]);
      products += now * before;
      squares += before * before;
    }
  return squares > 0 ? products / squares : 0;
}

}  // namespace stamp
