#include "training/kronecker.h"

#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <stdexcept>

#include "training/kronecker_kernel.h"

namespace stamp::training {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const float* data_of(const at::Tensor& t) {
  return t.defined() ? t.const_data_ptr<float>() : nullptr;
}
at::Tensor like(const at::Tensor& t) {
  return t.defined() ? at::empty_like(t) : at::Tensor();
}
float* target_of(at::Tensor& t) {
  return t.defined() ? t.data_ptr<float>() : nullptr;
}

KroneckerShape shape_of(const at::Tensor& x, const at::Tensor& left, const at::Tensor& right) {
  const std::int64_t n = x.size(-1);
  KroneckerShape s;
  s.a = left.defined() ? left.size(0) : n / right.size(0);
  s.b = right.defined() ? right.size(0) : n / left.size(0);
  s.rows = x.numel() / n;
  if (s.a * s.b != n) throw std::logic_error("kronecker_product: the factors do not fit the width");
  return s;
}

class KroneckerFunction : public torch::autograd::Function<KroneckerFunction> {
 public:
  // Optional, because the library takes no undefined tensors here.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const std::optional<at::Tensor>& left_factor,
                            const std::optional<at::Tensor>& right_factor) {
    const at::Tensor left = left_factor.value_or(at::Tensor()), right = right_factor.value_or(at::Tensor());
    context->save_for_backward({x, left, right});
    at::Tensor out = at::empty_like(x);
    kronecker_rows(shape_of(x, left, right), data_of(x), data_of(left), data_of(right), target_of(out));
    return out;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &left = saved[1], &right = saved[2];
    const at::Tensor above = gradients[0].contiguous();
    at::Tensor dx = like(x), dleft = like(left), dright = like(right);
    kronecker_gradient(shape_of(x, left, right), data_of(x), data_of(left), data_of(right), data_of(above),
                       target_of(dx), target_of(dleft), target_of(dright));
    return {dx, dleft, dright};
  }
};

std::optional<at::Tensor> plain(const at::Tensor& t) {
  return t.defined() ? std::optional(t.contiguous()) : std::nullopt;
}

}  // namespace

at::Tensor kronecker_product(const at::Tensor& x, const at::Tensor& left, const at::Tensor& right) {
  if (!left.defined() && !right.defined()) return x;
  return KroneckerFunction::apply(x.contiguous(), plain(left), plain(right));
}

KroneckerSizes kronecker_sizes(std::int64_t n) {
  if (n < 1) throw std::logic_error("kronecker_sizes: a width of at least 1 is needed");
  KroneckerSizes closest{1, n}, equal_parity{0, 0};
  for (std::int64_t d = 1; d * d <= n; ++d) {
    if (n % d != 0) continue;
    closest = {d, n / d};
    if ((d + n / d) % 2 == 0) equal_parity = closest;
  }
  return equal_parity.left > 0 ? equal_parity : closest;
}

}  // namespace stamp::training
