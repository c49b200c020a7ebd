// y = x W^T + b with gradients, in float32 or through bfloat16 products.
#include <ATen/TensorOperators.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "training/block.h"

namespace stamp::training {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Both factors and the incoming gradient are rounded to bfloat16; what is kept for the way back is half as large.
class HalfProduct : public torch::autograd::Function<HalfProduct> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight) {
    const at::Tensor rows = x.reshape({-1, x.size(-1)}).to(at::kBFloat16), w = weight.to(at::kBFloat16);
    context->save_for_backward({rows, w});
    context->saved_data["shape"] = x.sizes().vec();
    std::vector<std::int64_t> shape = x.sizes().vec();
    shape.back() = weight.size(0);
    return at::mm(rows, w.t()).to(at::kFloat).reshape(shape);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor above = gradients[0].reshape({-1, gradients[0].size(-1)}).to(at::kBFloat16);
    at::Tensor dx, dw;
    if (context->needs_input_grad(0))
      dx = at::mm(above, saved[1]).to(at::kFloat).reshape(context->saved_data["shape"].toIntVector());
    if (context->needs_input_grad(1)) dw = at::mm(above.t(), saved[0]).to(at::kFloat);
    return {dx, dw};
  }
};

}  // namespace

at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, Product how) {
  if (how == Product::float32)
    return at::linear(x, weight, bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt);
  const at::Tensor y = HalfProduct::apply(x, weight);
  return bias.defined() ? y + bias : y;
}

}  // namespace stamp::training
