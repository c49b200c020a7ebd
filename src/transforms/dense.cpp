// Any invertible matrix, multiplied out.
#include <algorithm>
#include <stdexcept>

#include "transforms/feature_transform.h"

namespace stamp {
namespace {

// Rows are copied in pieces of this many, so that the copy stays in the cache.
constexpr std::int64_t piece_rows = 512;

class Dense final : public FeatureTransform {
 public:
  Dense(std::string name, std::int64_t n, std::vector<double> r, const std::vector<double>& inverse, Gemm gemm)
      : name_(std::move(name)),
        n_(n),
        exact_(std::move(r)),
        r_(exact_.begin(), exact_.end()),
        inverse_(inverse.begin(), inverse.end()),
        gemm_(gemm) {}
  std::int64_t size() const override { return n_; }
  std::string name() const override { return name_; }
  void apply(MatrixView rows) const override { multiply(rows, r_); }
  void invert(MatrixView rows) const override { multiply(rows, inverse_); }
  std::vector<double> matrix() const override { return exact_; }

 private:
  void multiply(MatrixView rows, const std::vector<float>& by) const {
    if (rows.cols != n_) throw std::logic_error(name_ + " on rows of " + std::to_string(rows.cols));
    std::vector<float> copy(static_cast<std::size_t>(std::min(piece_rows, rows.rows) * n_));
    for (std::int64_t first = 0; first < rows.rows; first += piece_rows) {
      const std::int64_t count = std::min(piece_rows, rows.rows - first);
      for (std::int64_t i = 0; i < count; ++i) std::copy_n(rows.row(first + i), n_, copy.data() + i * n_);
      gemm_({copy.data(), count, n_, n_}, {by.data(), n_, n_, n_}, false, {rows.row(first), count, n_, rows.stride});
    }
  }
  std::string name_;
  std::int64_t n_;
  std::vector<double> exact_;
  std::vector<float> r_, inverse_;
  Gemm gemm_;
};

}  // namespace

std::unique_ptr<FeatureTransform> dense(std::string name, std::int64_t n, std::vector<double> r,
                                        const std::vector<double>& inverse, Gemm gemm) {
  const auto size = static_cast<std::size_t>(n * n);
  if (n < 1 || r.size() != size || inverse.size() != size)
    throw std::logic_error("dense: " + name + " needs two matrices of " + std::to_string(n) + " x " +
                           std::to_string(n));
  return std::make_unique<Dense>(std::move(name), n, std::move(r), inverse, gemm);
}

}  // namespace stamp
