// Small matrices for the numeric tests: owned storage with a stride, seeded values, the plain product.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/matrix.h"
#include "base/seed.h"

namespace stamp::test {

struct Matrix {
  std::int64_t rows, cols, stride;
  std::vector<float> values;
  Matrix(std::int64_t r, std::int64_t c, std::int64_t extra = 0)
      : rows(r), cols(c), stride(c + extra), values(static_cast<std::size_t>(r * (c + extra)), -777.0f) {}
  float& at(std::int64_t i, std::int64_t j) { return values[static_cast<std::size_t>(i * stride + j)]; }
  float at(std::int64_t i, std::int64_t j) const { return values[static_cast<std::size_t>(i * stride + j)]; }
  MatrixView view() { return {values.data(), rows, cols, stride}; }
  ConstMatrixView view() const { return {values.data(), rows, cols, stride}; }
  // What lies between the columns and the stride must not be touched.
  bool margin_kept() const {
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = cols; j < stride; ++j)
        if (at(i, j) != -777.0f) return false;
    return true;
  }
};

inline Matrix gaussian(std::int64_t rows, std::int64_t cols, std::uint64_t seed, std::int64_t extra = 0) {
  Matrix m(rows, cols, extra);
  RandomStream stream(seed, "test matrix");
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j) m.at(i, j) = static_cast<float>(stream.normal());
  return m;
}

// Largest |a - b|; NaN counts as infinite.
inline double difference(const Matrix& a, const Matrix& b) {
  double worst = 0;
  for (std::int64_t i = 0; i < a.rows; ++i)
    for (std::int64_t j = 0; j < a.cols; ++j) {
      const double d = std::fabs(static_cast<double>(a.at(i, j)) - static_cast<double>(b.at(i, j)));
      worst = std::isnan(d) ? INFINITY : std::max(worst, d);
    }
  return worst;
}

// m (square, row-major, double) times x, in double.
inline Matrix dense_left(const std::vector<double>& m, const Matrix& x, bool transposed = false) {
  Matrix y(x.rows, x.cols);
  for (std::int64_t i = 0; i < x.rows; ++i)
    for (std::int64_t j = 0; j < x.cols; ++j) {
      double sum = 0;
      for (std::int64_t k = 0; k < x.rows; ++k)
        sum +=
            m[static_cast<std::size_t>(transposed ? k * x.rows + i : i * x.rows + k)] * static_cast<double>(x.at(k, j));
      y.at(i, j) = static_cast<float>(sum);
    }
  return y;
}

}  // namespace stamp::test
