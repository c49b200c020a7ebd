#include "transforms/klt.h"

#include <algorithm>

#include "base/error.h"

namespace stamp {
namespace {

class Klt final : public SequenceTransform {
 public:
  Klt(std::int64_t tokens, std::shared_ptr<const std::vector<float>> basis, Gemm gemm)
      : tokens_(tokens), basis_(std::move(basis)), transposed_(basis_->size()), gemm_(gemm) {
    for (std::int64_t i = 0; i < tokens; ++i)
      for (std::int64_t j = 0; j < tokens; ++j)
        transposed_[static_cast<std::size_t>(j * tokens + i)] = (*basis_)[static_cast<std::size_t>(i * tokens + j)];
  }
  std::int64_t tokens() const override { return tokens_; }
  bool whole() const override { return true; }
  std::size_t scratch_floats(std::int64_t columns) const override {
    return static_cast<std::size_t>(tokens_ * columns);
  }
  void forward(MatrixView x, float* scratch) const override { multiply(basis_->data(), x, scratch); }
  void inverse(MatrixView x, float* scratch) const override { multiply(transposed_.data(), x, scratch); }
  std::vector<double> matrix() const override { return {basis_->begin(), basis_->end()}; }

 private:
  void multiply(const float* l, MatrixView x, float* scratch) const {
    for (std::int64_t i = 0; i < x.rows; ++i) std::copy_n(x.row(i), x.cols, scratch + i * x.cols);
    gemm_({l, tokens_, tokens_, tokens_}, {scratch, tokens_, x.cols, x.cols}, false, x);
  }
  std::int64_t tokens_;
  std::shared_ptr<const std::vector<float>> basis_;
  std::vector<float> transposed_;  // the GEMM interface transposes only its right operand
  Gemm gemm_;
};

}  // namespace

SequenceTransformPlugin klt_plugin() {
  PluginInfo info;
  info.name = "klt";
  info.summary = "eigenbasis of the calibrated token correlation; the optimum other transforms are compared with";
  info.source = "STaMP (arXiv 2510.26771) section 3; specification methods 2.3 e";
  info.cost = "two dense products of s^2 d, and a calibrated s x s basis for every slot";
  info.needs_calibration = true;
  info.refuse = [](const PlanFacts& facts) -> std::string {
    if (facts.any_length) return "its basis is of one length and zero-shot questions have any; use haar or dct";
    return facts.calibration_samples > 0 ? "" : "it needs calibration samples (calibration.samples is 0)";
  };
  return {info, [](const SequenceTransformRequest& r) -> std::unique_ptr<SequenceTransform> {
            const auto expected = static_cast<std::size_t>(r.tokens * r.tokens);
            if (!r.basis || r.basis->size() != expected)
              throw TrialError("refused", "sequence transform klt: the calibrated basis has " +
                                              std::to_string(r.basis ? r.basis->size() : 0) + " values, " +
                                              std::to_string(r.tokens) + " tokens need " + std::to_string(expected));
            return std::make_unique<Klt>(r.tokens, r.basis, r.gemm);
          }};
}

}  // namespace stamp
