#include "engine/slot_bases.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "base/error.h"
#include "engine/calibration.h"

namespace stamp {

namespace {

// S = E[X X^T], summed in float32, and its eigenvectors.
class CorrelationMeasure final : public BasisMeasure {
 public:
  explicit CorrelationMeasure(std::int64_t n) : n_(n), sum_(at::zeros({n, n}, at::kFloat)) {}
  void add(ConstMatrixView x) override {
    const at::Tensor rows =
        at::from_blob(const_cast<float*>(x.data), {x.rows, x.cols}, {x.stride, 1}, at::TensorOptions(at::kFloat));
    sum_.addmm_(rows, rows.t());
    ++sequences_;
  }
  std::vector<float> basis() override {
    const float* s = sum_.const_data_ptr<float>();
    std::vector<double> mean(static_cast<std::size_t>(n_ * n_));
    for (std::size_t j = 0; j < mean.size(); ++j) mean[j] = static_cast<double>(s[j]) / static_cast<double>(sequences_);
    sum_.reset();  // the eigenproblem needs several times as much
    return eigenbasis(mean, n_);
  }

 private:
  std::int64_t n_, sequences_ = 0;
  at::Tensor sum_;
};

std::size_t squared(std::int64_t n) {
  return static_cast<std::size_t>(n) * static_cast<std::size_t>(n);
}

BasisPlugin klt_basis() {
  BasisPlugin plugin;
  plugin.transform = "klt";
  plugin.floats = squared;
  plugin.sum_bytes = [](const BasisRequest& r) { return std::uint64_t{squared(r.tokens)} * sizeof(float); };
  plugin.large = true;
  plugin.start = [](const BasisRequest& r) -> std::unique_ptr<BasisMeasure> {
    return std::make_unique<CorrelationMeasure>(r.tokens);
  };
  return plugin;
}

}  // namespace

const BasisPlugin& basis_plugin(const std::string& transform) {
  static const BasisPlugin klt = klt_basis();
  if (transform == klt.transform) return klt;
  const BasisPlugin* plugin = measured_basis(transform);
  if (!plugin)
    throw TrialError("unsupported", "sequence transform " + transform + " says not how its basis is measured");
  return *plugin;
}

BasisRequest basis_request(const QuantizationSpec& spec, const SequenceTransformRequest& request, double low_bits) {
  BasisRequest r;
  r.tokens = request.tokens;
  r.high_tokens = request.high_tokens;
  r.low_bits = low_bits;
  const Json& options = spec.allocation.options;
  const double high = options.contains("high_bits") ? real_option(options, "high_bits") : 8;
  r.high_bits = std::max(high, low_bits);
  r.options = request.options;
  return r;
}

Json basis_depends(const QuantizationSpec& spec, const SequenceTransformRequest& request, double low_bits) {
  const BasisPlugin& plugin = basis_plugin(spec.sequence.transform);
  return plugin.depends ? plugin.depends(basis_request(spec, request, low_bits)) : Json();
}

}  // namespace stamp
