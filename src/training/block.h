// A decoder block as a differentiable function of its input and of every tensor in it: what block-wise and end-to-end
// training share. The same maths as models/decoder (tests hold them together). Specification models 2, 3.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace stamp::training {

enum class Gate { silu, gelu_tanh };
enum class Product {
  float32,
  bfloat16,  // factors rounded to bfloat16, sums in float32, results rounded to bfloat16: about 3 times as fast
};

struct BlockShape {
  std::int64_t heads = 1, kv_heads = 1, head_dim = 1;
  double norm_eps = 1e-6;
  double scale = 1;         // of the scores
  std::int64_t window = 0;  // keys a query sees, itself included; 0 = all before it
  double softcap = 0;       // of the scores; 0 = none
  Gate gate = Gate::silu;
  Product product = Product::float32;
};

// Linear weights are out x in. Tensors marked optional may be undefined. Norm weights are the factors themselves (a
// Gemma checkpoint's w enters as 1 + w).
struct BlockWeights {
  at::Tensor attention_norm;                  // h
  at::Tensor q, k, v, o;                      // (nh hd) x h, (nkv hd) x h twice, h x (nh hd)
  at::Tensor q_bias, k_bias, v_bias, o_bias;  // optional
  at::Tensor q_norm, k_norm;                  // optional, hd
  at::Tensor attention_post_norm;             // optional, h
  at::Tensor feed_forward_norm;               // h
  at::Tensor gate, up, down;                  // f x h twice, h x f
  at::Tensor gate_bias, up_bias, down_bias;   // optional
  at::Tensor feed_forward_post_norm;          // optional, h
  at::Tensor branch_rotation;                 // optional, h x h: what the post norms give times it is added
};

// Where transforms and quantizers enter: each takes a tensor and gives one of the same shape. Empty = nothing happens.
struct BlockHooks {
  using Hook = std::function<at::Tensor(const at::Tensor&)>;
  Hook qkv_input;      // ... x h, behind the norm
  Hook query, key;     // ... x (n hd), after RoPE
  Hook value;          // ... x (nkv hd)
  Hook output_input;   // ... x (nh hd), what attention gives
  Hook gate_up_input;  // ... x h, behind the norm
  Hook down_input;     // ... x f
};

// Cosines and sines of position * frequency, s x hd each (both halves alike).
struct RopeAngles {
  at::Tensor cosines, sines;
};
RopeAngles rope_angles(std::int64_t first_position, std::int64_t tokens, const std::vector<float>& frequencies);

// x: b x s x h float32, b sequences of s tokens that do not see one another, all at the positions of `rope`. Gives the
// rows that leave the block. Memory of attention is linear in s (blocks of queries where the library's kernel does not
// know the mask or the soft-cap).
at::Tensor block_forward(const at::Tensor& x, const BlockWeights& weights, const BlockShape& shape,
                         const RopeAngles& rope, const BlockHooks& hooks = {});

// The pieces, for other networks.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);
at::Tensor apply_rope(const at::Tensor& x, const RopeAngles& rope);  // b x n x s x hd
at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, Product how);  // x W^T + b
// q: b x nh x s x hd; k, v: b x nkv x s x hd.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const BlockShape& shape);

}  // namespace stamp::training
