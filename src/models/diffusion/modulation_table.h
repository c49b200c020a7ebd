// The learned tables that PixArt and SANA add to what is made of the timestep: one vector each for shift, scale and
// gate. Specification models 10.3, 12.3.
#pragma once
#include <ATen/core/Tensor.h>

namespace stamp {

// table: k x D; values: samples x k D. Their sum, samples x k D.
at::Tensor add_table(const at::Tensor& table, const at::Tensor& values);
// table: k x D; values: samples x D, added to every vector of the table. Samples x k D.
at::Tensor add_to_every(const at::Tensor& table, const at::Tensor& values);

}  // namespace stamp
