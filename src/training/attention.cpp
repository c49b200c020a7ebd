// Causal attention with gradients. The library's blocked kernel where it knows the mask; else blocks of queries whose
// scores are computed again on the way back, so that memory stays linear in the number of tokens.
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <limits>

#include "training/block.h"

namespace stamp::training {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t query_block = 128;

struct Rows {
  std::int64_t first, last;  // queries
  std::int64_t oldest;       // first key that any of them sees
};

Rows rows_from(std::int64_t first, std::int64_t tokens, std::int64_t window) {
  const std::int64_t last = std::min(first + query_block, tokens);
  return {first, last, window > 0 ? std::max<std::int64_t>(0, first - window + 1) : 0};
}

// Attention of some queries, by the formulas. q: b x n x rows x hd; k, v: b x n x (last - oldest) x hd.
at::Tensor plain_rows(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Rows& rows, double scale,
                      double softcap, std::int64_t window) {
  at::Tensor scores = at::matmul(q, k.transpose(-1, -2)) * scale;
  if (softcap > 0) scores = at::tanh(scores / softcap) * softcap;
  const at::Tensor query = at::arange(rows.first, rows.last, at::TensorOptions(at::kLong)).unsqueeze(-1);
  const at::Tensor key = at::arange(rows.oldest, rows.last, at::TensorOptions(at::kLong));
  at::Tensor hidden = key > query;
  if (window > 0) hidden = hidden.logical_or(key <= query - window);
  scores = scores.masked_fill(hidden, -std::numeric_limits<float>::infinity());
  return at::matmul(at::softmax(scores, -1), v);
}

class Blocked : public torch::autograd::Function<Blocked> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            double scale, double softcap, std::int64_t window) {
    context->save_for_backward({q, k, v});
    context->saved_data["scale"] = scale;
    context->saved_data["softcap"] = softcap;
    context->saved_data["window"] = window;
    std::vector<at::Tensor> parts;
    for (std::int64_t first = 0; first < q.size(2); first += query_block) {
      const Rows r = rows_from(first, q.size(2), window);
      parts.push_back(plain_rows(q.slice(2, r.first, r.last), k.slice(2, r.oldest, r.last),
                                 v.slice(2, r.oldest, r.last), r, scale, softcap, window));
    }
    return at::cat(parts, 2);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2];
    const double scale = context->saved_data["scale"].toDouble(), softcap = context->saved_data["softcap"].toDouble();
    const std::int64_t window = context->saved_data["window"].toInt();
    at::Tensor dq = at::empty_like(q), dk = at::zeros_like(k), dv = at::zeros_like(v);
    for (std::int64_t first = 0; first < q.size(2); first += query_block) {
      const Rows r = rows_from(first, q.size(2), window);
      at::AutoGradMode with_gradients(true);
      const auto leaf = [](const at::Tensor& part) { return part.detach().requires_grad_(true); };
      const at::Tensor q_rows = leaf(q.slice(2, r.first, r.last)), k_rows = leaf(k.slice(2, r.oldest, r.last)),
                       v_rows = leaf(v.slice(2, r.oldest, r.last));
      const at::Tensor out = plain_rows(q_rows, k_rows, v_rows, r, scale, softcap, window);
      const variable_list d =
          torch::autograd::grad({out}, {q_rows, k_rows, v_rows}, {gradients[0].slice(2, r.first, r.last)});
      at::AutoGradMode without(false);
      dq.slice(2, r.first, r.last).copy_(d[0]);
      dk.slice(2, r.oldest, r.last).add_(d[1]);
      dv.slice(2, r.oldest, r.last).add_(d[2]);
    }
    return {dq, dk, dv, {}, {}, {}};
  }
};

// b x nkv x s x hd -> b x nh x s x hd.
at::Tensor repeat_heads(const at::Tensor& x, std::int64_t times) {
  if (times == 1) return x;
  return x.unsqueeze(2).expand({x.size(0), x.size(1), times, x.size(2), x.size(3)}).flatten(1, 2);
}

}  // namespace

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const BlockShape& shape) {
  const std::int64_t group = shape.heads / shape.kv_heads;
  const at::Tensor keys = repeat_heads(k, group), values = repeat_heads(v, group);
  const bool limited = shape.window > 0 && shape.window < q.size(2);
  if (!limited && shape.softcap == 0)
    return at::scaled_dot_product_attention(q, keys, values, {}, 0.0, true, shape.scale);
  return Blocked::apply(q, keys, values, shape.scale, shape.softcap, limited ? shape.window : 0);
}

}  // namespace stamp::training
