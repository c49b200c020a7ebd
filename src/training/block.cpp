#include "training/block.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/silu.h>

#include <cmath>
#include <stdexcept>

namespace stamp::training {
namespace {

at::Tensor through(const BlockHooks::Hook& hook, const at::Tensor& x) {
  return hook ? hook(x) : x;
}

// b x s x (n hd) as b x n x s x hd and back.
at::Tensor split_heads(const at::Tensor& x, std::int64_t head_dim) {
  return x.unflatten(-1, {x.size(-1) / head_dim, head_dim}).transpose(1, 2);
}
at::Tensor join_heads(const at::Tensor& x) {
  return x.transpose(1, 2).flatten(-2);
}

at::Tensor head_norm(const at::Tensor& x, const at::Tensor& weight, double eps, std::int64_t head_dim) {
  return weight.defined() ? rms_norm(x.unflatten(-1, {x.size(-1) / head_dim, head_dim}), weight, eps).flatten(-2) : x;
}

at::Tensor activate(const at::Tensor& x, Gate gate) {
  return gate == Gate::silu ? at::silu(x) : at::gelu(x, "tanh");
}

}  // namespace

RopeAngles rope_angles(std::int64_t first_position, std::int64_t tokens, const std::vector<float>& frequencies) {
  const auto half = static_cast<std::int64_t>(frequencies.size());
  RopeAngles rope{at::empty({tokens, 2 * half}, at::TensorOptions(at::kFloat)),
                  at::empty({tokens, 2 * half}, at::TensorOptions(at::kFloat))};
  float *cosines = rope.cosines.data_ptr<float>(), *sines = rope.sines.data_ptr<float>();
  for (std::int64_t p = 0; p < tokens; ++p)
    for (std::int64_t i = 0; i < half; ++i) {
      // The angle in float32, as the references have it (specification models 2.2).
      const float angle = static_cast<float>(first_position + p) * frequencies[static_cast<std::size_t>(i)];
      for (const std::int64_t j : {i, i + half}) {
        cosines[p * 2 * half + j] = std::cos(angle);
        sines[p * 2 * half + j] = std::sin(angle);
      }
    }
  return rope;
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return x * at::rsqrt((x * x).mean(-1, true) + eps) * weight;
}

at::Tensor apply_rope(const at::Tensor& x, const RopeAngles& rope) {
  const std::int64_t half = x.size(-1) / 2;
  const at::Tensor turned = at::cat({-x.narrow(-1, half, half), x.narrow(-1, 0, half)}, -1);
  return x * rope.cosines + turned * rope.sines;
}

at::Tensor block_forward(const at::Tensor& x, const BlockWeights& w, const BlockShape& shape, const RopeAngles& rope,
                         const BlockHooks& hooks) {
  if (x.dim() != 3) throw std::logic_error("block_forward takes sequences x tokens x features");
  const std::int64_t hd = shape.head_dim;
  const at::Tensor a = through(hooks.qkv_input, rms_norm(x, w.attention_norm, shape.norm_eps));
  at::Tensor q = head_norm(product(a, w.q, w.q_bias, shape.product), w.q_norm, shape.norm_eps, hd);
  at::Tensor k = head_norm(product(a, w.k, w.k_bias, shape.product), w.k_norm, shape.norm_eps, hd);
  const at::Tensor v = through(hooks.value, product(a, w.v, w.v_bias, shape.product));
  q = apply_rope(split_heads(q, hd), rope);
  k = apply_rope(split_heads(k, hd), rope);
  if (hooks.query) q = split_heads(hooks.query(join_heads(q)), hd);
  if (hooks.key) k = split_heads(hooks.key(join_heads(k)), hd);
  const at::Tensor attended = join_heads(attention(q, k, split_heads(v, hd), shape));
  at::Tensor out = product(through(hooks.output_input, attended), w.o, w.o_bias, shape.product);
  if (w.attention_post_norm.defined()) out = rms_norm(out, w.attention_post_norm, shape.norm_eps);
  if (w.branch_rotation.defined()) out = at::matmul(out, w.branch_rotation);
  const at::Tensor middle = x + out;

  const at::Tensor m = through(hooks.gate_up_input, rms_norm(middle, w.feed_forward_norm, shape.norm_eps));
  const at::Tensor gate = product(m, w.gate, w.gate_bias, shape.product);
  const at::Tensor up = product(m, w.up, w.up_bias, shape.product);
  out = product(through(hooks.down_input, activate(gate, shape.gate) * up), w.down, w.down_bias, shape.product);
  if (w.feed_forward_post_norm.defined()) out = rms_norm(out, w.feed_forward_post_norm, shape.norm_eps);
  if (w.branch_rotation.defined()) out = at::matmul(out, w.branch_rotation);
  return middle + out;
}

}  // namespace stamp::training
