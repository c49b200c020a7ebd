#include "training/spinquant_objective.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>
#include <stdexcept>

#include "models/network.h"

namespace stamp::training {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Logits at a time: their tensors, a handful while gradients are taken, have 128 MB each.
constexpr std::int64_t logits_at_once = std::int64_t{1} << 25;

class RotatedRows : public torch::autograd::Function<RotatedRows> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const FeatureTransform* r) {
    context->saved_data["transform"] = reinterpret_cast<std::int64_t>(r);
    return turned(x, *r, false);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto* r = reinterpret_cast<const FeatureTransform*>(context->saved_data["transform"].toInt());
    return {turned(gradients[0], *r, true), at::Tensor()};  // R^T = R^-1
  }

 private:
  static at::Tensor turned(const at::Tensor& x, const FeatureTransform& r, bool inverse) {
    at::Tensor out = x.clone(at::MemoryFormat::Contiguous);
    at::Tensor rows = out.view({-1, r.size()});
    inverse ? r.invert(view(rows)) : r.apply(view(rows));
    return out;
  }
};

// An inference tensor cannot take part in autograd; a second tensor on its memory can.
at::Tensor usable(const at::Tensor& t) {
  if (!t.defined() || !t.is_inference()) return t;
  const at::Tensor held = t.contiguous();
  return at::from_blob(
      held.data_ptr(), held.sizes(), [held](void*) {}, held.options());
}

BlockWeights usable(BlockWeights w) {
  for (at::Tensor* t : {&w.attention_norm,
                        &w.q,
                        &w.k,
                        &w.v,
                        &w.o,
                        &w.q_bias,
                        &w.k_bias,
                        &w.v_bias,
                        &w.o_bias,
                        &w.q_norm,
                        &w.k_norm,
                        &w.attention_post_norm,
                        &w.feed_forward_norm,
                        &w.gate,
                        &w.up,
                        &w.down,
                        &w.gate_bias,
                        &w.up_bias,
                        &w.down_bias,
                        &w.feed_forward_post_norm})
    *t = usable(*t);
  return w;
}

// W (m x k), blocks of hd rows: each block turned by R^T from the left, so that outputs come out times R.
at::Tensor rotate_outputs(const at::Tensor& weight, const at::Tensor& r) {
  const at::Tensor blocks = weight.reshape({-1, r.size(0), weight.size(1)});
  return at::matmul(r.t(), blocks).reshape(weight.sizes());
}
// W (m x k) times I (x) R: blocks of hd columns.
at::Tensor rotate_inputs(const at::Tensor& weight, const at::Tensor& r) {
  return at::matmul(weight.reshape({weight.size(0), -1, r.size(0)}), r).reshape(weight.sizes());
}
// b (n hd) times I (x) R.
at::Tensor rotate_bias(const at::Tensor& bias, const at::Tensor& r) {
  return bias.defined() ? at::matmul(bias.reshape({-1, r.size(0)}), r).reshape(bias.sizes()) : bias;
}

at::Tensor leaf(const at::Tensor& t) {
  return t.detach().to(at::kFloat).requires_grad_(true);
}

FakeQuantize straight_through(FakeQuantize how) {
  how.gradient = StraightThrough::identity;
  return how;
}

// Null where there is nothing to do, so that no hook costs time.
BlockHooks::Hook quantizer(const FakeQuantize& how) {
  if (how.bits >= 16) return {};
  return [how](const at::Tensor& x) { return fake_quantize(x, how); };
}

BlockHooks::Hook after(BlockHooks::Hook first, BlockHooks::Hook second) {
  if (!first) return second;
  if (!second) return first;
  return [first = std::move(first), second = std::move(second)](const at::Tensor& x) { return second(first(x)); };
}

BlockHooks::Hook rotation(const std::shared_ptr<const FeatureTransform>& r) {
  if (!r) return {};
  return [r](const at::Tensor& x) { return rotate_rows(x, r); };
}

}  // namespace

at::Tensor rotate_rows(const at::Tensor& x, const std::shared_ptr<const FeatureTransform>& r) {
  return RotatedRows::apply(x, r.get());
}

BlockWeights fold_rotations(const BlockWeights& w, const at::Tensor& r1, const at::Tensor& r2,
                            const FeatureTransform* down_rotation) {
  const bool behind_norms = w.attention_post_norm.defined();
  if (behind_norms != w.feed_forward_post_norm.defined())
    throw std::logic_error("norms stand behind both o_proj and down_proj, or behind neither");
  const at::Tensor attention = w.attention_norm.unsqueeze(1) * r1, feed_forward = w.feed_forward_norm.unsqueeze(1) * r1;
  const at::Tensor back = r1.t();
  BlockWeights out = w;
  out.attention_norm = at::ones(w.attention_norm.sizes(), r1.options().requires_grad(false));
  out.feed_forward_norm = out.attention_norm;
  out.q = at::matmul(w.q, attention);
  out.k = at::matmul(w.k, attention);
  out.v = rotate_outputs(at::matmul(w.v, attention), r2);
  out.v_bias = rotate_bias(w.v_bias, r2);
  out.o = rotate_inputs(w.o, r2);
  out.gate = at::matmul(w.gate, feed_forward);
  out.up = at::matmul(w.up, feed_forward);
  at::Tensor down = w.down;
  if (down_rotation) {
    down = w.down.clone(at::MemoryFormat::Contiguous);
    down_rotation->apply(view(down));
  }
  out.down = down;
  if (behind_norms) {
    out.branch_rotation = r1;
    return out;
  }
  out.o = at::matmul(back, out.o);
  out.o_bias = rotate_bias(w.o_bias, r1);
  out.down = at::matmul(back, out.down);
  out.down_bias = rotate_bias(w.down_bias, r1);
  return out;
}

SpinQuantObjective::SpinQuantObjective(FrozenDecoder model, SpinQuantOptions options)
    : model_(std::move(model)), options_(std::move(options)) {
  const c10::InferenceMode off(false);
  // Once for all: rounding it again for every piece of logits would take as long as the products.
  model_.head = usable(options_.product == Product::bfloat16 ? model_.head.to(at::kBFloat16) : model_.head);
  for (FakeQuantize* how : {&options_.activations, &options_.keys, &options_.values, &options_.weights})
    *how = straight_through(*how);
  const auto head_rotation = [&](std::int64_t head_dim) -> BlockHooks::Hook {
    const auto& r = options_.key_rotation;
    if (!r) return {};
    return [r, head_dim](const at::Tensor& x) {
      return rotate_rows(x.reshape({x.size(0), x.size(1), -1, head_dim}), r).flatten(-2);
    };
  };
  for (BlockShape& shape : model_.shapes) {
    shape.product = options_.product;
    BlockHooks hooks;
    hooks.qkv_input = hooks.output_input = hooks.gate_up_input = quantizer(options_.activations);
    hooks.query = head_rotation(shape.head_dim);
    hooks.key = after(hooks.query, quantizer(options_.keys));
    hooks.value = quantizer(options_.values);
    hooks.down_input = after(rotation(options_.down_rotation), quantizer(options_.activations));
    hooks_.push_back(std::move(hooks));
  }
}

BlockWeights SpinQuantObjective::folded(std::size_t block, const at::Tensor& r1, const at::Tensor& r2) const {
  BlockWeights w = fold_rotations(usable(model_.block(block)), r1, r2, options_.down_rotation.get());
  if (options_.weights.bits < 16)
    for (at::Tensor* weight : {&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down})
      *weight = fake_quantize(*weight, options_.weights);
  return w;
}

at::Tensor SpinQuantObjective::forward(std::size_t block, const at::Tensor& x, const BlockWeights& weights,
                                       const RopeAngles& rope) const {
  return block_forward(x, weights, model_.shapes[block], rope, hooks_[block]);
}

double SpinQuantObjective::head_loss(const at::Tensor& rows, const at::Tensor& ids, const at::Tensor& r1,
                                     at::Tensor* gradient) const {
  const std::int64_t h = model_.hidden, predictions = ids.size(0) * (ids.size(1) - 1);
  const at::Tensor end = gradient ? leaf(rows) : rows;
  const at::Tensor ones = at::ones({h}, rows.options());
  // Back to the basis of the head, which then needs no rotation and no gradient. The last token of a sequence predicts
  // nothing.
  const at::Tensor turned = at::matmul(rms_norm(end, ones, model_.norm_eps), r1.t());
  const at::Tensor predicting = turned.detach().narrow(1, 0, ids.size(1) - 1).reshape({predictions, h});
  const at::Tensor targets = ids.narrow(1, 1, ids.size(1) - 1).reshape({predictions});
  const at::Tensor& head = model_.head;
  at::Tensor down = gradient ? at::empty_like(predicting) : at::Tensor();
  const std::int64_t rows_at_once = std::clamp<std::int64_t>(logits_at_once / head.size(0), 1, 512);
  double sum = 0;
  for (std::int64_t first = 0; first < predictions; first += rows_at_once) {
    const std::int64_t count = std::min(rows_at_once, predictions - first);
    const at::Tensor piece = predicting.narrow(0, first, count).detach().requires_grad_(gradient != nullptr);
    at::Tensor logits = product(piece, head, {}, options_.product);
    if (const double cap = model_.final_softcap; cap > 0) logits = at::tanh(logits / cap) * cap;
    const at::Tensor loss = at::cross_entropy_loss(logits, targets.narrow(0, first, count), {}, at::Reduction::Sum);
    sum += loss.item<double>();
    if (!gradient) continue;
    torch::autograd::backward({loss}, {});
    down.narrow(0, first, count).copy_(piece.grad() / static_cast<double>(predictions));
  }
  if (gradient) {
    at::Tensor above = at::zeros_like(turned.detach());
    above.narrow(1, 0, ids.size(1) - 1).copy_(down.reshape({ids.size(0), ids.size(1) - 1, h}));
    torch::autograd::backward({turned}, {above});
    *gradient = end.grad();
  }
  return sum / static_cast<double>(predictions);
}

SpinQuantObjective::Value SpinQuantObjective::run(const Rotations& rotations, const at::Tensor& ids,
                                                  bool with_gradient) const {
  if (ids.dim() != 2 || ids.size(1) < 2) throw std::logic_error("training sequences need two tokens or more");
  if (rotations.heads.size() != blocks() || model_.frequencies.size() != blocks())
    throw std::logic_error("one R2 and one RoPE a block are needed");
  const c10::InferenceMode off(false);
  const at::AutoGradMode recording(with_gradient);
  const at::Tensor r1 = leaf(rotations.residual);
  std::vector<at::Tensor> r2;
  for (const at::Tensor& head : rotations.heads) r2.push_back(leaf(head));
  std::vector<RopeAngles> rope;
  for (const std::vector<float>& frequencies : model_.frequencies)
    rope.push_back(rope_angles(0, ids.size(1), frequencies));

  std::vector<at::Tensor> embedded;
  for (std::int64_t i = 0; i < ids.size(0); ++i) embedded.push_back(usable(model_.embed(ids[i].contiguous())));
  const at::Tensor entered = at::matmul(at::stack(embedded), r1);

  const bool keep = with_gradient && model_.resident;
  std::vector<at::Tensor> inputs;  // of the blocks: what is kept of the forward pass
  std::vector<BlockWeights> weights;
  at::Tensor x = entered.detach();
  for (std::size_t b = 0; b < blocks(); ++b) {
    BlockWeights w;
    {
      const at::AutoGradMode folding(keep);
      w = folded(b, r1, r2[b]);
    }
    const at::NoGradGuard silent;
    if (with_gradient) inputs.push_back(x);
    x = forward(b, x, w, rope[b]);
    if (keep) weights.push_back(std::move(w));
    if (model_.release) model_.release(b);
  }

  Value value;
  at::Tensor above;
  value.loss = head_loss(x, ids, r1, with_gradient ? &above : nullptr);
  if (!with_gradient) return value;
  x.reset();
  for (std::size_t b = blocks(); b-- > 0;) {
    const at::Tensor input = leaf(inputs[b]);
    inputs[b].reset();
    {
      const BlockWeights w = keep ? std::move(weights[b]) : folded(b, r1, r2[b]);
      const at::Tensor output = forward(b, input, w, rope[b]);
      torch::autograd::backward({output}, {above});
    }
    if (keep) weights[b] = {};
    above = input.grad();
    if (model_.release) model_.release(b);
  }
  torch::autograd::backward({entered}, {above});
  value.gradient.residual = r1.grad().to(at::kDouble);
  for (const at::Tensor& head : r2) value.gradient.heads.push_back(head.grad().to(at::kDouble));
  return value;
}

}  // namespace stamp::training
