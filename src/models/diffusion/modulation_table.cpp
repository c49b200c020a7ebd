#include "models/diffusion/modulation_table.h"

#include "models/tensors.h"

namespace stamp {

at::Tensor add_table(const at::Tensor& table, const at::Tensor& values) {
  at::Tensor out = contiguous_copy(values);
  const float* from = table.const_data_ptr<float>();
  const MatrixView rows = view(out);
  for (std::int64_t b = 0; b < rows.rows; ++b)
    for (std::int64_t j = 0; j < rows.cols; ++j) rows.row(b)[j] += from[j];
  return out;
}

at::Tensor add_to_every(const at::Tensor& table, const at::Tensor& values) {
  const std::int64_t vectors = table.size(0), d = table.size(1);
  at::Tensor out = fresh_matrix(values.size(0), vectors * d);
  const float* from = table.const_data_ptr<float>();
  for (std::int64_t b = 0; b < values.size(0); ++b)
    for (std::int64_t i = 0; i < vectors; ++i)
      for (std::int64_t j = 0; j < d; ++j) view(out).row(b)[i * d + j] = from[i * d + j] + const_view(values).row(b)[j];
  return out;
}

}  // namespace stamp
