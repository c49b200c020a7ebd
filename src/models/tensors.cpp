#include "models/tensors.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>

#include <stdexcept>

namespace stamp {

namespace {
void expect_matrix(const at::Tensor& tensor) {
  if (tensor.dim() != 2 || tensor.scalar_type() != at::kFloat || !tensor.is_contiguous())
    throw std::logic_error("a matrix view needs a contiguous two-dimensional float32 tensor");
}
at::Tensor wrap(ConstMatrixView m) {
  return at::from_blob(const_cast<float*>(m.data), {m.rows, m.cols}, {m.stride, 1}, at::TensorOptions(at::kFloat));
}
}  // namespace

at::Tensor fresh_matrix(std::int64_t rows, std::int64_t cols) {
  return at::empty({rows, cols}, at::TensorOptions(at::kFloat));
}

at::Tensor contiguous_copy(const at::Tensor& tensor) {
  return tensor.clone(at::MemoryFormat::Contiguous);
}

MatrixView view(at::Tensor& tensor) {
  expect_matrix(tensor);
  return {tensor.data_ptr<float>(), tensor.size(0), tensor.size(1), tensor.size(1)};
}

ConstMatrixView const_view(const at::Tensor& tensor) {
  expect_matrix(tensor);
  return {tensor.const_data_ptr<float>(), tensor.size(0), tensor.size(1), tensor.size(1)};
}

void torch_gemm(ConstMatrixView a, ConstMatrixView b, bool transpose_b, MatrixView c) {
  at::Tensor out = wrap(c);
  const at::Tensor right = wrap(b);
  at::mm_out(out, wrap(a), transpose_b ? right.t() : right);
}

}  // namespace stamp
