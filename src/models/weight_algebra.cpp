#include "models/weight_algebra.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <stdexcept>

#include "models/tensors.h"

namespace stamp {
namespace {

// Beyond this the dense matrix takes over 0.5 GB, and the transform's own float32 routine is used: its rounding,
// log2(d) additions deep, is of the size of the final rounding to float32.
constexpr std::int64_t dense_limit = 8192;
constexpr std::int64_t row_chunk = 2048;  // bounds the double copies of a weight

}  // namespace

WeightRotation::WeightRotation(const FeatureTransform& r) : transform_(r), size_(r.size()) {
  if (size_ > dense_limit) return;
  const std::vector<double> dense = r.matrix();
  matrix_ = at::empty({size_, size_}, at::TensorOptions(at::kDouble));
  std::copy(dense.begin(), dense.end(), matrix_.data_ptr<double>());
}

void WeightRotation::rotate_inputs(at::Tensor& weight) const {
  if (weight.size(1) != size_)
    throw std::logic_error("rotate_inputs: the weight's input width differs from the transform's size");
  if (!matrix_.defined()) {
    transform_.apply(view(weight));
    return;
  }
  for (std::int64_t first = 0; first < weight.size(0); first += row_chunk) {
    at::Tensor rows = weight.narrow(0, first, std::min(row_chunk, weight.size(0) - first));
    rows.copy_(at::mm(rows.to(at::kDouble), matrix_));
  }
}

void WeightRotation::rotate_outputs(at::Tensor& weight, at::Tensor& bias) const {
  const std::int64_t blocks = weight.size(0) / size_;
  if (blocks * size_ != weight.size(0))
    throw std::logic_error("rotate_outputs: the output width is no multiple of the transform's size");
  for (std::int64_t i = 0; i < blocks; ++i) {
    at::Tensor block = weight.narrow(0, i * size_, size_);
    if (matrix_.defined()) {
      block.copy_(at::mm(matrix_.t(), block.to(at::kDouble)));
    } else {
      at::Tensor turned = contiguous_copy(block.t());
      transform_.apply(view(turned));
      block.copy_(turned.t());
    }
  }
  if (!bias.defined()) return;
  at::Tensor rows = contiguous_copy(bias).reshape({blocks, size_});
  if (matrix_.defined())
    rows.copy_(at::mm(rows.to(at::kDouble), matrix_));
  else
    transform_.apply(view(rows));
  bias = rows.reshape({blocks * size_});
}

void scale_inputs(at::Tensor& weight, std::span<const double> factors) {
  const MatrixView w = view(weight);
  if (static_cast<std::size_t>(w.cols) != factors.size())
    throw std::logic_error("scale_inputs: one factor for every input is needed");
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < w.rows; ++i)
    for (std::int64_t j = 0; j < w.cols; ++j)
      w.row(i)[j] = static_cast<float>(static_cast<double>(w.row(i)[j]) * factors[static_cast<std::size_t>(j)]);
}

}  // namespace stamp
