// Small helpers between tensors and the matrix views of the kernels.
#pragma once
#include <ATen/core/Tensor.h>

#include "formats/checkpoint.h"
#include "models/network.h"

namespace stamp {

at::Tensor fresh_matrix(std::int64_t rows, std::int64_t cols);  // float32, not initialised
at::Tensor contiguous_copy(const at::Tensor& tensor);           // float32, own storage

}  // namespace stamp
