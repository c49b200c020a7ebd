// The compositions: diagonal scaling and Kronecker products.
#include "transforms/feature_transform.h"

#include <algorithm>
#include <stdexcept>

namespace stamp {
namespace {

class Diagonal final : public FeatureTransform {
 public:
  explicit Diagonal(std::vector<float> factors) : factors_(std::move(factors)), inverse_(factors_.size()) {
    for (std::size_t i = 0; i < factors_.size(); ++i) {
      if (factors_[i] == 0) throw std::logic_error("diagonal: factor " + std::to_string(i) + " is zero");
      inverse_[i] = 1.0f / factors_[i];
    }
  }
  std::int64_t size() const override { return static_cast<std::int64_t>(factors_.size()); }
  std::string name() const override { return "diagonal " + std::to_string(factors_.size()); }
  void apply(MatrixView rows) const override { scale(rows, factors_); }
  void invert(MatrixView rows) const override { scale(rows, inverse_); }
  std::vector<double> matrix() const override {
    const std::size_t n = factors_.size();
    std::vector<double> r(n * n, 0.0);
    for (std::size_t i = 0; i < n; ++i) r[i * n + i] = factors_[i];
    return r;
  }

 private:
  void scale(MatrixView rows, const std::vector<float>& factors) const {
    if (rows.cols != size()) throw std::logic_error(name() + " on rows of " + std::to_string(rows.cols));
#pragma omp parallel for schedule(static) if (rows.rows * rows.cols > 16384)
    for (std::int64_t i = 0; i < rows.rows; ++i) {
      float* x = rows.row(i);
      for (std::size_t j = 0; j < factors.size(); ++j) x[j] *= factors[j];
    }
  }
  std::vector<float> factors_, inverse_;
};

std::vector<double> identity_matrix(std::int64_t n) {
  std::vector<double> m(static_cast<std::size_t>(n * n), 0.0);
  for (std::int64_t i = 0; i < n; ++i) m[static_cast<std::size_t>(i * n + i)] = 1.0;
  return m;
}

// x (A (x) B) of a row seen as the matrix X (a x b) is A^T X B: B on every row of X, A on every column.
class Kronecker final : public FeatureTransform {
 public:
  Kronecker(std::shared_ptr<const FeatureTransform> a, std::int64_t na, std::shared_ptr<const FeatureTransform> b,
            std::int64_t nb)
      : a_(std::move(a)), b_(std::move(b)), na_(na), nb_(nb) {}
  std::int64_t size() const override { return na_ * nb_; }
  std::string name() const override {
    const auto part = [](const FeatureTransform* f, std::int64_t n) {
      return f ? f->name() : "identity " + std::to_string(n);
    };
    std::string text = "(";  // appended piece by piece: g++ 12 warns wrongly about "literal" + temporary
    text += part(a_.get(), na_);
    text += ") (x) (";
    text += part(b_.get(), nb_);
    return text += ")";
  }
  void apply(MatrixView rows) const override { run(rows, &FeatureTransform::apply); }
  void invert(MatrixView rows) const override { run(rows, &FeatureTransform::invert); }
  std::vector<double> matrix() const override {
    const auto a = a_ ? a_->matrix() : identity_matrix(na_), b = b_ ? b_->matrix() : identity_matrix(nb_);
    const std::int64_t n = size();
    std::vector<double> r(static_cast<std::size_t>(n * n));
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j < n; ++j)
        r[static_cast<std::size_t>(i * n + j)] =
            a[static_cast<std::size_t>(i / nb_ * na_ + j / nb_)] * b[static_cast<std::size_t>(i % nb_ * nb_ + j % nb_)];
    return r;
  }

 private:
  using Step = void (FeatureTransform::*)(MatrixView) const;
  static constexpr std::int64_t piece_rows = 256;

  void run(MatrixView rows, Step step) const {
    if (rows.cols != size()) throw std::logic_error(name() + " on rows of " + std::to_string(rows.cols));
    std::vector<float> buffer(static_cast<std::size_t>(std::min(piece_rows, rows.rows) * size()));
    for (std::int64_t first = 0; first < rows.rows; first += piece_rows)
      run_piece({rows.row(first), std::min(piece_rows, rows.rows - first), rows.cols, rows.stride}, buffer.data(),
                step);
  }
  void run_piece(MatrixView rows, float* buffer, Step step) const {
    if (b_) {
      if (rows.stride == rows.cols)
        (b_.get()->*step)({rows.data, rows.rows * na_, nb_, nb_});
      else
        for (std::int64_t i = 0; i < rows.rows; ++i) (b_.get()->*step)({rows.row(i), na_, nb_, nb_});
    }
    if (!a_) return;
    const std::int64_t n = size();
#pragma omp parallel for schedule(static) if (rows.rows * n > 16384)
    for (std::int64_t i = 0; i < rows.rows; ++i)
      for (std::int64_t p = 0; p < na_; ++p)
        for (std::int64_t q = 0; q < nb_; ++q) buffer[i * n + q * na_ + p] = rows.row(i)[p * nb_ + q];
    (a_.get()->*step)({buffer, rows.rows * nb_, na_, na_});
#pragma omp parallel for schedule(static) if (rows.rows * n > 16384)
    for (std::int64_t i = 0; i < rows.rows; ++i)
      for (std::int64_t p = 0; p < na_; ++p)
        for (std::int64_t q = 0; q < nb_; ++q) rows.row(i)[p * nb_ + q] = buffer[i * n + q * na_ + p];
  }
  std::shared_ptr<const FeatureTransform> a_, b_;
  std::int64_t na_, nb_;
};

}  // namespace

std::unique_ptr<FeatureTransform> diagonal(std::vector<float> factors) {
  return std::make_unique<Diagonal>(std::move(factors));
}

std::unique_ptr<FeatureTransform> kronecker(std::shared_ptr<const FeatureTransform> a, std::int64_t a_size,
                                            std::shared_ptr<const FeatureTransform> b, std::int64_t b_size) {
  if ((a && a->size() != a_size) || (b && b->size() != b_size) || a_size < 1 || b_size < 1)
    throw std::logic_error("kronecker: sizes do not fit the factors");
  return std::make_unique<Kronecker>(std::move(a), a_size, std::move(b), b_size);
}

}  // namespace stamp
