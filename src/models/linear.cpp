#include "models/linear.h"

#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/linear.h>

#include <optional>

namespace stamp {
namespace {

using Reorder = at::Tensor(const at::Tensor&, std::optional<std::int64_t>);
using Pointwise = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
                             c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);

// oneDNN's operators are registered without C++ headers; the dispatcher checks the signatures.
struct OneDnn {
  std::optional<c10::TypedOperatorHandle<Reorder>> reorder;
  std::optional<c10::TypedOperatorHandle<Pointwise>> pointwise;
  OneDnn() {
    const auto find = [](const char* name) { return c10::Dispatcher::singleton().findSchema({name, ""}); };
    const auto reorder_schema = find("mkldnn::_reorder_linear_weight");
    const auto pointwise_schema = find("mkldnn::_linear_pointwise");
    if (!reorder_schema || !pointwise_schema) return;
    reorder = reorder_schema->typed<Reorder>();
    pointwise = pointwise_schema->typed<Pointwise>();
  }
  bool available() const { return reorder.has_value(); }
};
const OneDnn& one_dnn() {
  static const OneDnn library;
  return library;
}

// Rows for which oneDNN picks the blocking; other counts work with the same weights.
constexpr std::int64_t typical_rows = 2048;

}  // namespace

at::Tensor pack_weight(const at::Tensor& weight) {
  return one_dnn().available() ? one_dnn().reorder->call(weight, typical_rows) : weight;
}

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const std::optional<at::Tensor> b = bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt;
  if (!weight.is_mkldnn()) return at::linear(x, weight, b);
  return one_dnn().pointwise->call(x, weight, b, "none", c10::List<std::optional<at::Scalar>>(), std::nullopt);
}

std::string linear_backend() {
  return one_dnn().available() ? "oneDNN, packed weights" : "ATen";
}

void Linear::pack() {
  if (packed()) return;
  packed_ = pack_weight(weight_);
  weight_.reset();
}

}  // namespace stamp
