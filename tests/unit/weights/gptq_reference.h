// GPTQ as specification 4.2 has it, one column after the other, no blocks, plain loops in double: the slow twin.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "quant/weight_clip.h"
#include "support/matrices.h"
#include "weights/gptq_core.h"

namespace stamp::test {

// Square or not, row-major, double.
struct Dense {
  std::int64_t rows, cols;
  std::vector<double> values;
  Dense(std::int64_t r, std::int64_t c) : rows(r), cols(c), values(static_cast<std::size_t>(r * c)) {}
  double& at(std::int64_t i, std::int64_t j) { return values[static_cast<std::size_t>(i * cols + j)]; }
  double at(std::int64_t i, std::int64_t j) const { return values[static_cast<std::size_t>(i * cols + j)]; }
};

inline Dense widened(const Matrix& m) {
  Dense d(m.rows, m.cols);
  for (std::int64_t i = 0; i < m.rows; ++i)
    for (std::int64_t j = 0; j < m.cols; ++j) d.at(i, j) = static_cast<double>(m.at(i, j));
  return d;
}

// factor * X^T X.
inline Dense gram(const Matrix& x, double factor = 1) {
  Dense h(x.cols, x.cols);
  for (std::int64_t i = 0; i < x.cols; ++i)
    for (std::int64_t j = 0; j < x.cols; ++j) {
      double sum = 0;
      for (std::int64_t t = 0; t < x.rows; ++t)
        sum += static_cast<double>(x.at(t, i)) * static_cast<double>(x.at(t, j));
      h.at(i, j) = factor * sum;
    }
  return h;
}

// Upper U with U^T U = A.
inline Dense upper_cholesky(const Dense& a) {
  const std::int64_t n = a.rows;
  Dense u(n, n);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = i; j < n; ++j) {
      double sum = a.at(i, j);
      for (std::int64_t k = 0; k < i; ++k) sum -= u.at(k, i) * u.at(k, j);
      u.at(i, j) = i == j ? std::sqrt(sum) : sum / u.at(i, i);
    }
  return u;
}

// Gauss-Jordan; the matrices here are positive definite and need no pivots.
inline Dense inverse_of(Dense a) {
  const std::int64_t n = a.rows;
  Dense b(n, n);
  for (std::int64_t i = 0; i < n; ++i) b.at(i, i) = 1;
  for (std::int64_t p = 0; p < n; ++p) {
    const double pivot = a.at(p, p);
    for (std::int64_t j = 0; j < n; ++j) {
      a.at(p, j) /= pivot;
      b.at(p, j) /= pivot;
    }
    for (std::int64_t i = 0; i < n; ++i) {
      if (i == p) continue;
      const double f = a.at(i, p);
      for (std::int64_t j = 0; j < n; ++j) {
        a.at(i, j) -= f * a.at(p, j);
        b.at(i, j) -= f * b.at(p, j);
      }
    }
  }
  return b;
}

struct GptqAnswer {
  Dense quantized;                  // m x d
  Dense margin;                     // m x d: distance of w / step from the nearest point where rounding flips, in steps
  std::vector<std::int64_t> order;  // in which channels were taken
  Dense hessian;                    // damped, channels as they stand
  double loss = 0;
};

inline GptqAnswer gptq_by_the_book(const Matrix& weight, Dense h, const GptqSettings& s) {
  const std::int64_t m = weight.rows, d = weight.cols, group = s.grid.group > 0 ? s.grid.group : d;
  Dense w = widened(weight);
  std::vector<kernels::Scale> scales(static_cast<std::size_t>(m * ((d + group - 1) / group)));
  const std::int64_t groups = (d + group - 1) / group;
  const auto set_scales = [&](std::int64_t g, const auto& value) {
    for (std::int64_t i = 0; i < m; ++i) {
      std::vector<float> values;
      for (std::int64_t j = g * group; j < std::min(d, (g + 1) * group); ++j)
        values.push_back(static_cast<float>(value(i, j)));
      scales[static_cast<std::size_t>(i * groups + g)] = weight_scale(values, s.grid);
    }
  };
  const bool dynamic = s.grid.group > 0 && !s.static_groups;
  if (!dynamic)
    for (std::int64_t g = 0; g < groups; ++g)
      set_scales(g, [&](std::int64_t i, std::int64_t j) { return weight.at(i, j); });
  for (std::int64_t j = 0; j < d; ++j)
    if (h.at(j, j) == 0) {
      h.at(j, j) = 1;
      for (std::int64_t i = 0; i < m; ++i) w.at(i, j) = 0;
    }
  std::vector<std::int64_t> order(static_cast<std::size_t>(d));
  std::iota(order.begin(), order.end(), 0);
  if (s.act_order)
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return h.at(a, a) > h.at(b, b); });
  double mean = 0;
  for (std::int64_t j = 0; j < d; ++j) mean += h.at(j, j) / static_cast<double>(d);
  for (std::int64_t j = 0; j < d; ++j) h.at(j, j) += s.percdamp * mean;
  Dense permuted(d, d), pw(m, d);
  for (std::int64_t a = 0; a < d; ++a) {
    for (std::int64_t b = 0; b < d; ++b)
      permuted.at(a, b) = h.at(order[static_cast<std::size_t>(a)], order[static_cast<std::size_t>(b)]);
    for (std::int64_t i = 0; i < m; ++i) pw.at(i, a) = w.at(i, order[static_cast<std::size_t>(a)]);
  }
  const Dense u = upper_cholesky(inverse_of(permuted));
  GptqAnswer answer{Dense(m, d), Dense(m, d), order, h, 0};
  for (std::int64_t p = 0; p < d; ++p) {
    const std::int64_t column = order[static_cast<std::size_t>(p)];
    const std::int64_t g = (dynamic ? p : column) / group;
    if (dynamic && p % group == 0) set_scales(g, [&](std::int64_t i, std::int64_t j) { return pw.at(i, j); });
    for (std::int64_t i = 0; i < m; ++i) {
      const kernels::Scale& scale = scales[static_cast<std::size_t>(i * groups + g)];
      const double delta = static_cast<double>(scale.delta), low = static_cast<double>(scale.low),
                   high = static_cast<double>(scale.high);
      double q = 0;
      answer.margin.at(i, column) = 0.5;
      if (scale.kind == kernels::Scale::Kind::uniform) {
        const double level = pw.at(i, p) / delta;
        q = delta * std::clamp(std::nearbyint(level), low, high);
        if (level > low - 0.5 && level < high + 0.5)
          answer.margin.at(i, column) = 0.5 - std::fabs(level - std::nearbyint(level));
      }
      answer.quantized.at(i, column) = q;
      const double error = (pw.at(i, p) - q) / u.at(p, p);
      answer.loss += error * error / 2;
      for (std::int64_t k = p; k < d; ++k) pw.at(i, k) -= error * u.at(p, k);
    }
  }
  return answer;
}

// sum over rows of (w - q) H (w - q)^T.
inline double output_error(const Matrix& w, const Dense& q, const Dense& h) {
  double sum = 0;
  for (std::int64_t i = 0; i < w.rows; ++i)
    for (std::int64_t a = 0; a < w.cols; ++a)
      for (std::int64_t b = 0; b < w.cols; ++b)
        sum += (static_cast<double>(w.at(i, a)) - q.at(i, a)) * h.at(a, b) *
               (static_cast<double>(w.at(i, b)) - q.at(i, b));
  return sum;
}

}  // namespace stamp::test
