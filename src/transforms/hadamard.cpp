// x -> x M^T with M = (H_K (x) H_{2^p}) / sqrt n: per row, a fast Walsh-Hadamard transform on the last axis of the
// K x 2^p view, then the base matrix along the first.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "base/seed.h"
#include "transforms/feature_transform.h"
#include "transforms/hadamard_base.h"
#include "transforms/vector.h"

namespace stamp {
namespace {

using simd::Floats;
using simd::Ints;

// Walsh-Hadamard inside one register: lanes i and i ^ step.
[[gnu::always_inline]] inline Floats within_register(Floats v) {
#pragma GCC unroll 4
  for (int step = 1; step < simd::width; step *= 2) {
    const Ints partner = simd::lane_numbers ^ step;
    const Floats sign = (simd::lane_numbers & step) != 0 ? simd::broadcast(-1.0f) : simd::broadcast(1.0f);
    v = simd::fma(v, sign, __builtin_shuffle(v, partner));
  }
  return v;
}

// n = 2^p values, times `scale`.
void walsh_hadamard(float* x, std::int64_t n, float scale) {
  if (n < simd::width) {
    for (std::int64_t step = 1; step < n; step *= 2)
      for (std::int64_t i = 0; i < n; i += 2 * step)
        for (std::int64_t j = i; j < i + step; ++j) {
          const float a = x[j], b = x[j + step];
          x[j] = a + b;
          x[j + step] = a - b;
        }
    for (std::int64_t i = 0; i < n; ++i) x[i] *= scale;
    return;
  }
  const Floats factor = simd::broadcast(scale);
  for (std::int64_t i = 0; i < n; i += simd::width) simd::store(x + i, within_register(simd::load(x + i) * factor));
  std::int64_t step = simd::width;
  for (; 4 * step <= n; step *= 4)
    for (std::int64_t i = 0; i < n; i += 4 * step)
      for (float* p = x + i; p < x + i + step; p += simd::width) {
        const Floats a = simd::load(p), b = simd::load(p + step), c = simd::load(p + 2 * step),
                     d = simd::load(p + 3 * step);
        const Floats ab = a + b, am = a - b, cd = c + d, cm = c - d;
        simd::store(p, ab + cd);
        simd::store(p + step, am + cm);
        simd::store(p + 2 * step, ab - cd);
        simd::store(p + 3 * step, am - cm);
      }
  if (step < n)
    for (float* p = x; p < x + step; p += simd::width) {
      const Floats a = simd::load(p), b = simd::load(p + step);
      simd::store(p, a + b);
      simd::store(p + step, a - b);
    }
}

class Hadamard final : public FeatureTransform {
 public:
  Hadamard(std::int64_t n, std::int64_t order) : n_(n), order_(order), base_(base_hadamard(order)) {
    by_column_.resize(base_.size());
    by_row_.resize(base_.size());
    for (std::size_t i = 0; i < base_.size(); ++i) by_row_[i] = static_cast<float>(base_[i]);
    for (std::int64_t i = 0; i < order; ++i)
      for (std::int64_t j = 0; j < order; ++j) by_column_[at(j, i)] = by_row_[at(i, j)];
  }
  std::int64_t size() const override { return n_; }
  std::string name() const override {
    return "hadamard " + std::to_string(order_) + " x " + std::to_string(n_ / order_);
  }
  void apply(MatrixView rows) const override { run(rows, by_column_); }
  void invert(MatrixView rows) const override { run(rows, by_row_); }
  std::vector<double> matrix() const override {  // R = M^T
    std::vector<double> r(static_cast<std::size_t>(n_ * n_));
    const std::int64_t p = n_ / order_;
    for (std::int64_t i = 0; i < n_; ++i)
      for (std::int64_t j = 0; j < n_; ++j) {
        const int walsh = std::popcount(static_cast<std::uint64_t>((i % p) & (j % p))) % 2 == 0 ? 1 : -1;
        r[static_cast<std::size_t>(j * n_ + i)] = base_[at(i / p, j / p)] * walsh / std::sqrt(static_cast<double>(n_));
      }
    return r;
  }

 private:
  std::size_t at(std::int64_t i, std::int64_t j) const { return static_cast<std::size_t>(i * order_ + j); }

  // columns[j * K + i]: factor of input block j in output block i.
  void run(MatrixView rows, const std::vector<float>& columns) const {
    if (rows.cols != n_) throw std::logic_error(name() + " on rows of " + std::to_string(rows.cols));
    const float scale = static_cast<float>(1 / std::sqrt(static_cast<double>(n_)));
    const std::int64_t p = n_ / order_;
#pragma omp parallel if (rows.rows * n_ > 16384)
    {
      std::vector<float> mixed(order_ > 1 ? static_cast<std::size_t>(n_) : 0);
#pragma omp for schedule(static)
      for (std::int64_t i = 0; i < rows.rows; ++i) {
        float* x = rows.row(i);
        for (std::int64_t b = 0; b < order_; ++b) walsh_hadamard(x + b * p, p, scale);
        if (order_ == 1) continue;
        p < simd::width ? mix_short(x, mixed.data(), columns) : mix_blocks(x, mixed.data(), columns);
        std::copy(mixed.begin(), mixed.end(), x);
      }
    }
  }
  // Blocks of at least one vector: 4 output blocks in registers over all input blocks (K is a multiple of 4).
  void mix_blocks(const float* x, float* y, const std::vector<float>& columns) const {
    const std::int64_t p = n_ / order_;
    for (std::int64_t c = 0; c < p; c += simd::width)
      for (std::int64_t i = 0; i < order_; i += 4) {
        Floats sum0{}, sum1{}, sum2{}, sum3{};
        for (std::int64_t j = 0; j < order_; ++j) {
          const Floats v = simd::load(x + j * p + c);
          const float* f = columns.data() + at(j, i);
          sum0 = simd::fma(v, simd::broadcast(f[0]), sum0);
          sum1 = simd::fma(v, simd::broadcast(f[1]), sum1);
          sum2 = simd::fma(v, simd::broadcast(f[2]), sum2);
          sum3 = simd::fma(v, simd::broadcast(f[3]), sum3);
        }
        simd::store(y + i * p + c, sum0);
        simd::store(y + (i + 1) * p + c, sum1);
        simd::store(y + (i + 2) * p + c, sum2);
        simd::store(y + (i + 3) * p + c, sum3);
      }
  }
  void mix_short(const float* x, float* y, const std::vector<float>& columns) const {
    const std::int64_t p = n_ / order_;
    std::fill(y, y + n_, 0.0f);
    for (std::int64_t j = 0; j < order_; ++j)
      for (std::int64_t i = 0; i < order_; ++i)
        for (std::int64_t c = 0; c < p; ++c) y[i * p + c] += columns[at(j, i)] * x[j * p + c];
  }

  std::int64_t n_, order_;
  std::vector<int> base_;
  std::vector<float> by_column_, by_row_;  // transposed base (apply), base (invert)
};

// R = D M^T.
class SignedTransform final : public FeatureTransform {
 public:
  SignedTransform(std::vector<float> signs, std::unique_ptr<FeatureTransform> inner)
      : signs_(std::move(signs)), inner_(std::move(inner)) {}
  std::int64_t size() const override { return inner_->size(); }
  std::string name() const override { return "randomized " + inner_->name(); }
  void apply(MatrixView rows) const override {
    flip(rows);
    inner_->apply(rows);
  }
  void invert(MatrixView rows) const override {
    inner_->invert(rows);
    flip(rows);
  }
  std::vector<double> matrix() const override {
    std::vector<double> r = inner_->matrix();
    const std::size_t n = signs_.size();
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) r[i * n + j] *= signs_[i];
    return r;
  }

 private:
  void flip(MatrixView rows) const {
    if (rows.cols != size()) throw std::logic_error(name() + " on rows of " + std::to_string(rows.cols));
#pragma omp parallel for schedule(static) if (rows.rows * rows.cols > 16384)
    for (std::int64_t i = 0; i < rows.rows; ++i) {
      float* x = rows.row(i);
      for (std::size_t j = 0; j < signs_.size(); ++j) x[j] *= signs_[j];
    }
  }
  std::vector<float> signs_;
  std::unique_ptr<FeatureTransform> inner_;
};

}  // namespace

std::unique_ptr<FeatureTransform> hadamard(std::int64_t n) {
  const std::int64_t order = hadamard_base_order(n);
  return order > 0 ? std::make_unique<Hadamard>(n, order) : nullptr;
}

std::unique_ptr<FeatureTransform> randomized_hadamard(std::int64_t n, std::uint64_t seed, const std::string& purpose) {
  auto inner = hadamard(n);
  if (!inner) return nullptr;
  RandomStream stream(seed, purpose);
  std::vector<float> signs(static_cast<std::size_t>(n));
  for (float& s : signs) s = static_cast<float>(stream.sign());
  return std::make_unique<SignedTransform>(std::move(signs), std::move(inner));
}

}  // namespace stamp
