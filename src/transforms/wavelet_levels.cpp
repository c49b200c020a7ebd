#include "transforms/wavelet_levels.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

namespace stamp {
namespace {

using Vector = std::vector<double>;
using Vectors = std::vector<Vector>;

double dot(const Vector& a, const Vector& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

// Subtracts the projections on orthonormal vectors, twice: once leaves rounding errors of nearly parallel ones.
void orthogonalise(Vector& v, const Vectors& against) {
  for (int pass = 0; pass < 2; ++pass)
    for (const Vector& u : against) {
      const double c = dot(u, v);
      for (std::size_t j = 0; j < v.size(); ++j) v[j] -= c * u[j];
    }
}

void scale_to_one(Vector& v) {
  const double length = std::sqrt(dot(v, v));
  for (double& x : v) x /= length;
}

// Orthonormal vectors of the same space with a place each: those that diagonalise the position, first place first
// (Jacobi rotations of a matrix of at most ten rows). Signs: the sum, or the largest entry, is positive.
void localise(Vectors& space, bool by_sum) {
  const std::size_t n = space.size();
  Vectors m(n, Vector(n));
  for (std::size_t a = 0; a < n; ++a)
    for (std::size_t b = 0; b < n; ++b)
      for (std::size_t j = 0; j < space[a].size(); ++j) m[a][b] += static_cast<double>(j) * space[a][j] * space[b][j];
  for (int sweep = 0; sweep < 60; ++sweep)
    for (std::size_t a = 0; a < n; ++a)
      for (std::size_t b = a + 1; b < n; ++b) {
        if (m[a][b] == 0) continue;
        const double theta = 0.5 * std::atan2(2 * m[a][b], m[b][b] - m[a][a]), c = std::cos(theta), s = std::sin(theta);
        const auto rotate = [&](double& x, double& y) {
          const double u = c * x - s * y, v = s * x + c * y;
          x = u;
          y = v;
        };
        for (std::size_t k = 0; k < n; ++k) rotate(m[a][k], m[b][k]);
        for (std::size_t k = 0; k < n; ++k) rotate(m[k][a], m[k][b]);
        m[a][b] = m[b][a] = 0;
        for (std::size_t j = 0; j < space[a].size(); ++j) rotate(space[a][j], space[b][j]);
      }
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return m[a][a] < m[b][b]; });
  Vectors sorted;
  for (const std::size_t i : order) {
    Vector v = space[i];
    double sign = std::accumulate(v.begin(), v.end(), 0.0);
    if (!by_sum)
      sign = *std::max_element(v.begin(), v.end(), [](double x, double y) { return std::fabs(x) < std::fabs(y); });
    if (sign < 0)
      for (double& x : v) x = -x;
    sorted.push_back(std::move(v));
  }
  space = std::move(sorted);
}

struct Edge {
  Vectors low, high;  // each as long as the edge's region, counted from the end of the sequence inwards
};

// The filters of the left end. `free`: rows before the first inner filter; inner filters begin at free, free + 2, ...
// `polynomials`: values of degree 0, 1, ... along the rows of this level, at least `low` of them.
Edge make_edge(const Vector& h, const Vector& g, std::size_t free, std::size_t low, const Vectors& polynomials) {
  const std::size_t taps = h.size(), region = free + taps - 2;
  // The projector on what inner rows leave of the half line. It is zero beyond the region.
  Vectors projector(region, Vector(region, 0.0));
  for (std::size_t i = 0; i < region; ++i) projector[i][i] = 1;
  for (std::size_t begin = free; begin < region; begin += 2)
    for (const Vector* filter : {&h, &g})
      for (std::size_t a = 0; begin + a < region && a < taps; ++a)
        for (std::size_t b = 0; begin + b < region && b < taps; ++b)
          projector[begin + a][begin + b] -= (*filter)[a] * (*filter)[b];
  const std::size_t dimension = free + taps / 2 - 1;
  Edge edge;
  for (std::size_t k = 0; k < low; ++k) {
    Vector v(region, 0.0);
    for (std::size_t i = 0; i < region; ++i)
      for (std::size_t j = 0; j < region; ++j) v[i] += projector[i][j] * polynomials[k][j];
    orthogonalise(v, edge.low);
    scale_to_one(v);
    edge.low.push_back(std::move(v));
  }
  // The rest of the space, the longest remaining column of the projector first.
  Vectors all = edge.low;
  while (all.size() < dimension) {
    Vector longest;
    for (const Vector& column : projector) {  // symmetric
      Vector v = column;
      orthogonalise(v, all);
      if (longest.empty() || dot(v, v) > dot(longest, longest)) longest = std::move(v);
    }
    scale_to_one(longest);
    orthogonalise(longest, all);
    scale_to_one(longest);
    all.push_back(longest);
    edge.high.push_back(std::move(longest));
  }
  localise(edge.low, true);
  localise(edge.high, false);
  return edge;
}

// Same span, orthonormal over the first rows: powers of the position would lose their digits to one another. The values
// further away follow along.
void condition(Vectors& polynomials, std::size_t rows) {
  const auto near = [&](const Vector& a, const Vector& b) {
    return std::inner_product(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(std::min(rows, a.size())), b.begin(),
                              0.0);
  };
  for (std::size_t k = 0; k < polynomials.size(); ++k) {
    Vector& v = polynomials[k];
    for (int pass = 0; pass < 2; ++pass)
      for (std::size_t i = 0; i < k; ++i) {
        const double c = near(polynomials[i], v);
        for (std::size_t j = 0; j < v.size(); ++j) v[j] -= c * polynomials[i][j];
      }
    const double length = std::sqrt(near(v, v));
    for (double& x : v) x /= length;
  }
}

// Powers 0 .. count - 1 of the distance from the left end (or from the right one, where row 0 is the last row).
Vectors powers(std::int64_t rows, std::size_t count, std::size_t region) {
  Vectors p(count, Vector(static_cast<std::size_t>(rows), 1.0));
  for (std::size_t k = 1; k < count; ++k)
    for (std::size_t j = 0; j < p[k].size(); ++j)
      p[k][j] = p[k - 1][j] * static_cast<double>(j) / static_cast<double>(region);
  return p;
}

// Polynomials as the next level sees them; `mirrored` ones are counted from the last row.
void follow(Vectors& polynomials, const WaveletLevel& level, bool mirrored) {
  for (Vector& v : polynomials) {
    if (mirrored) std::reverse(v.begin(), v.end());
    Vector next;
    for (std::int64_t r = 0; r < level.low; ++r) {
      const WaveletRow& row = level.matrix[static_cast<std::size_t>(r)];
      double sum = 0;
      for (std::size_t k = 0; k < row.columns.size(); ++k)
        sum += row.weights[k] * v[static_cast<std::size_t>(row.columns[k])];
      next.push_back(sum);
    }
    if (mirrored) std::reverse(next.begin(), next.end());
    v = std::move(next);
  }
}

WaveletRow placed(const Vector& weights, std::int64_t first, std::int64_t direction) {
  WaveletRow row;
  for (std::size_t k = 0; k < weights.size(); ++k) {
    row.columns.push_back(first + direction * static_cast<std::int64_t>(k));
    row.weights.push_back(weights[k]);
  }
  return row;
}

}  // namespace

int most_edge_levels(const WaveletFilter& filter, std::int64_t tokens) {
  int levels = 0;
  for (std::int64_t n = tokens; n >= 6 * filter.moments; n = (n + 1) / 2) ++levels;
  return levels;
}

std::vector<WaveletLevel> edge_levels(const WaveletFilter& filter, std::int64_t tokens, int levels) {
  if (levels < 0 || levels > most_edge_levels(filter, tokens))
    throw std::logic_error("edge_levels: " + std::to_string(levels) + " levels of " + std::to_string(tokens) + " rows");
  const Vector &h = filter.low, g = filter.high();
  const Vector h_back(h.rbegin(), h.rend()), g_back(g.rbegin(), g.rend());
  const auto p = static_cast<std::size_t>(filter.moments);
  // Inner filters stay off the p (or p + 1) rows that the level before made with an end's own filters.
  const std::size_t free = p + 1, region = free + 2 * p - 2;
  Vectors left = powers(tokens, p + 1, region), right = left;
  std::vector<WaveletLevel> out;
  std::int64_t n = tokens;
  for (int level = 0; level < levels; ++level) {
    const bool odd = n % 2 == 1;
    condition(left, region);
    condition(right, region + odd);
    const Edge first = make_edge(h, g, free, p, left), last = make_edge(h_back, g_back, free + odd, p + odd, right);
    WaveletLevel next{n, (n + 1) / 2, {}};
    for (const bool low : {true, false}) {
      for (const Vector& v : low ? first.low : first.high) next.matrix.push_back(placed(v, 0, 1));
      const auto end = n - static_cast<std::int64_t>(free + odd + 2 * p);
      for (auto begin = static_cast<std::int64_t>(free); begin <= end; begin += 2)
        next.matrix.push_back(placed(low ? h : g, begin, 1));
      const Vectors& tail = low ? last.low : last.high;
      for (auto v = tail.rbegin(); v != tail.rend(); ++v) next.matrix.push_back(placed(*v, n - 1, -1));
    }
    follow(left, next, false);
    follow(right, next, true);
    n = next.low;
    out.push_back(std::move(next));
  }
  return out;
}

std::vector<WaveletLevel> periodic_levels(const WaveletFilter& filter, std::int64_t tokens, int levels) {
  const Vector &h = filter.low, g = filter.high();
  const std::int64_t p = filter.moments;
  std::vector<WaveletLevel> out;
  std::int64_t n = tokens;
  for (int level = 0; level < levels; ++level) {
    if (n < 2)
      throw std::logic_error("periodic_levels: " + std::to_string(levels) + " levels of " + std::to_string(tokens) +
                             " rows");
    const std::int64_t even = n / 2 * 2;
    WaveletLevel next{n, (n + 1) / 2, {}};
    for (const bool low : {true, false}) {
      const Vector& filter_taps = low ? h : g;
      for (std::int64_t i = 0; i < even / 2; ++i) {
        // Short levels meet a row several times: one entry for each.
        Vector sums(static_cast<std::size_t>(even), 0.0);
        for (std::int64_t t = 0; t < 2 * p; ++t) {
          const std::int64_t at = ((2 * i - p + 1 + t) % even + even) % even;
          sums[static_cast<std::size_t>(at)] += filter_taps[static_cast<std::size_t>(t)];
        }
        WaveletRow row;
        for (std::int64_t at = 0; at < even; ++at)
          if (sums[static_cast<std::size_t>(at)] != 0) {
            row.columns.push_back(at);
            row.weights.push_back(sums[static_cast<std::size_t>(at)]);
          }
        next.matrix.push_back(std::move(row));
      }
      if (low && even < n) next.matrix.push_back({{n - 1}, {1.0}});
    }
    n = next.low;
    out.push_back(std::move(next));
  }
  return out;
}

}  // namespace stamp
