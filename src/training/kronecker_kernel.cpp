#include "training/kronecker_kernel.h"

#include <omp.h>

#include <algorithm>
#include <vector>

namespace stamp::training {
namespace {

constexpr std::int64_t lane = 16;
std::int64_t padded(std::int64_t n) {
  return (n + lane - 1) / lane * lane;
}

// Matrices in buffers whose rows are padded with zeros to whole vectors, so that the inner loops have no remainder.
using Buffer = std::vector<float>;

void load(const float* from, std::int64_t rows, std::int64_t cols, float* to) {
  const std::int64_t stride = padded(cols);
  for (std::int64_t i = 0; i < rows; ++i) std::copy_n(from + i * cols, cols, to + i * stride);
}
void load_transposed(const float* from, std::int64_t rows, std::int64_t cols, float* to) {  // cols x rows
  const std::int64_t stride = padded(rows);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j) to[j * stride + i] = from[i * cols + j];
}
Buffer padded_copy(const float* from, std::int64_t n, bool transpose) {
  Buffer out(static_cast<std::size_t>(n * padded(n)), 0.0f);
  if (transpose)
    load_transposed(from, n, n, out.data());
  else
    load(from, n, n, out.data());
  return out;
}

// c (m x n) = or += a (m x k, element (i, j) at i * a_row + j * a_col) * b (k x n, padded rows); n padded.
template <bool add>
inline void multiply(std::int64_t m, std::int64_t k, std::int64_t n, const float* a, std::int64_t a_row,
                     std::int64_t a_col, const float* b, float* c) {
  for (std::int64_t i = 0; i < m; ++i) {
    float* to = c + i * n;
    for (std::int64_t j = 0; j < n; j += lane) {
      float sum[lane];
      for (std::int64_t l = 0; l < lane; ++l) sum[l] = add ? to[j + l] : 0.0f;
      for (std::int64_t t = 0; t < k; ++t) {
        const float factor = a[i * a_row + t * a_col];
#pragma omp simd
        for (std::int64_t l = 0; l < lane; ++l) sum[l] += factor * b[t * n + j + l];
      }
      for (std::int64_t l = 0; l < lane; ++l) to[j + l] = sum[l];
    }
  }
}

}  // namespace

void kronecker_rows(const KroneckerShape& shape, const float* x, const float* p, const float* q, float* out) {
  const std::int64_t a = shape.a, b = shape.b, wide = padded(b);
  const Buffer right = q ? padded_copy(q, b, false) : Buffer();
#pragma omp parallel if (shape.rows * a * b > 16384)
  {
    Buffer first(static_cast<std::size_t>(a * wide), 0.0f), second(first.size(), 0.0f);
#pragma omp for schedule(static)
    for (std::int64_t r = 0; r < shape.rows; ++r) {
      const float* from = x + r * a * b;
      float* result = first.data();
      if (q)
        multiply<false>(a, b, wide, from, b, 1, right.data(), first.data());
      else
        load(from, a, b, first.data());
      if (p) {
        multiply<false>(a, a, wide, p, 1, a, first.data(), second.data());
        result = second.data();
      }
      for (std::int64_t i = 0; i < a; ++i) std::copy_n(result + i * wide, b, out + r * a * b + i * b);
    }
  }
}

void kronecker_gradient(const KroneckerShape& shape, const float* x, const float* p, const float* q, const float* above,
                        float* dx, float* dp, float* dq) {
  const std::int64_t a = shape.a, b = shape.b, wide_a = padded(a), wide = padded(b);
  const Buffer right = q ? padded_copy(q, b, false) : Buffer(),
               right_transposed = q ? padded_copy(q, b, true) : Buffer();
  const auto threads = static_cast<std::size_t>(omp_get_max_threads());
  Buffer p_sums(threads * static_cast<std::size_t>(p ? a * wide_a : 0), 0.0f);
  Buffer q_sums(threads * static_cast<std::size_t>(q ? b * wide : 0), 0.0f);
#pragma omp parallel if (shape.rows * a * b > 16384)
  {
    const auto me = static_cast<std::size_t>(omp_get_thread_num());
    float* my_p = p_sums.data() + me * static_cast<std::size_t>(p ? a * wide_a : 0);
    float* my_q = q_sums.data() + me * static_cast<std::size_t>(q ? b * wide : 0);
    const auto size = static_cast<std::size_t>(a * wide);
    Buffer g(size, 0.0f), t(size, 0.0f), dt(size, 0.0f), back(size, 0.0f);
    Buffer g_transposed(static_cast<std::size_t>(b * wide_a), 0.0f);
#pragma omp for schedule(static)
    for (std::int64_t r = 0; r < shape.rows; ++r) {
      // Y = P^T T, T = X Q: dT = P dY, dP = T dY^T, dX = dT Q^T, dQ = X^T dT.
      const float* from = x + r * a * b;
      load(above + r * a * b, a, b, g.data());
      const float* d = g.data();
      if (p) {
        if (q)
          multiply<false>(a, b, wide, from, b, 1, right.data(), t.data());
        else
          load(from, a, b, t.data());
        load_transposed(above + r * a * b, a, b, g_transposed.data());
        multiply<true>(a, b, wide_a, t.data(), wide, 1, g_transposed.data(), my_p);
        multiply<false>(a, a, wide, p, a, 1, g.data(), dt.data());
        d = dt.data();
      }
      if (q) {
        multiply<true>(b, a, wide, from, 1, b, d, my_q);
        multiply<false>(a, b, wide, d, wide, 1, right_transposed.data(), back.data());
        d = back.data();
      }
      for (std::int64_t i = 0; i < a; ++i) std::copy_n(d + i * wide, b, dx + r * a * b + i * b);
    }
  }
  const auto add_up = [threads](const Buffer& sums, std::int64_t n, std::int64_t width, float* out) {
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j < n; ++j) {
        float sum = 0;
        for (std::size_t k = 0; k < threads; ++k)
          sum += sums[k * static_cast<std::size_t>(n * width) + static_cast<std::size_t>(i * width + j)];
        out[i * n + j] = sum;
      }
  };
  if (p) add_up(p_sums, a, wide_a, dp);
  if (q) add_up(q_sums, b, wide, dq);
}

}  // namespace stamp::training
