#include "transforms/chain.h"

#include <stdexcept>

namespace stamp {
namespace {

class Chain final : public FeatureTransform {
 public:
  Chain(std::shared_ptr<const FeatureTransform> a, std::shared_ptr<const FeatureTransform> b)
      : a_(std::move(a)), b_(std::move(b)) {}
  std::int64_t size() const override { return a_->size(); }
  void apply(MatrixView rows) const override {
    a_->apply(rows);
    b_->apply(rows);
  }
  void invert(MatrixView rows) const override {
    b_->invert(rows);
    a_->invert(rows);
  }
  std::vector<double> matrix() const override {
    const auto n = static_cast<std::size_t>(size());
    const std::vector<double> a = a_->matrix(), b = b_->matrix();
    std::vector<double> m(n * n, 0.0);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t k = 0; k < n; ++k)
        for (std::size_t j = 0; j < n; ++j) m[i * n + j] += a[i * n + k] * b[k * n + j];
    return m;
  }
  std::string name() const override { return a_->name() + ", then " + b_->name(); }

 private:
  std::shared_ptr<const FeatureTransform> a_, b_;
};

}  // namespace

std::unique_ptr<FeatureTransform> chain(std::shared_ptr<const FeatureTransform> a,
                                        std::shared_ptr<const FeatureTransform> b) {
  if (!a || !b || a->size() != b->size())
    throw std::logic_error("chain: two feature transforms of one size are needed");
  return std::make_unique<Chain>(std::move(a), std::move(b));
}

}  // namespace stamp
