// The differentiable block against the network's own, and its attention against the formulas.
#include "training/block.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tanh.h>

#include "support/catch.h"
#include "unit/training/tensors.h"

using namespace stamp;
using namespace stamp::training;

namespace {

// All scores at once. q, k, v: b x n x s x hd with as many heads each.
at::Tensor formula(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const BlockShape& shape) {
  at::Tensor scores = at::matmul(q, k.transpose(-1, -2)) * shape.scale;
  if (shape.softcap > 0) scores = at::tanh(scores / shape.softcap) * shape.softcap;
  const at::Tensor position = at::arange(q.size(2), at::TensorOptions(at::kLong));
  at::Tensor hidden = position > position.unsqueeze(-1);
  if (shape.window > 0) hidden = hidden.logical_or(position <= position.unsqueeze(-1) - shape.window);
  return at::matmul(at::softmax(scores.masked_fill(hidden, -INFINITY), -1), v);
}

at::Tensor repeated(const at::Tensor& x, std::int64_t times) {
  return x.repeat_interleave(times, 1);
}

}  // namespace

TEST_CASE("attention and its gradients are those of the formulas") {
  BlockShape shape;
  shape.heads = 4;
  shape.kv_heads = 2;
  shape.head_dim = 8;
  shape.scale = 0.3;
  const std::int64_t tokens = 300;  // more than two blocks of queries
  for (const std::int64_t window : {0, 1, 50, 299, 500})
    for (const double softcap : {0.0, 2.0}) {
      INFO("window " << window << ", cap " << softcap);
      shape.window = window;
      shape.softcap = softcap;
      const at::Tensor weights = test::gaussian({2, 4, tokens, 8}, 4);
      at::Tensor leaves[2][3];
      for (auto& set : leaves) {
        set[0] = test::leaf(test::gaussian({2, 4, tokens, 8}, 1));
        set[1] = test::leaf(test::gaussian({2, 2, tokens, 8}, 2));
        set[2] = test::leaf(test::gaussian({2, 2, tokens, 8}, 3));
      }
      const at::Tensor got = attention(leaves[0][0], leaves[0][1], leaves[0][2], shape);
      const at::Tensor expected = formula(leaves[1][0], repeated(leaves[1][1], 2), repeated(leaves[1][2], 2), shape);
      // Sums of up to 300 products in float32, added in another order.
      CHECK(test::relative_distance(got, expected) < 1e-5);
      (got * weights).sum().backward();
      (expected * weights).sum().backward();
      for (int i = 0; i < 3; ++i) CHECK(test::relative_distance(leaves[0][i].grad(), leaves[1][i].grad()) < 2e-5);
    }
}

TEST_CASE("products in bfloat16 and their gradients are those of float32, rounded") {
  const at::Tensor values = test::gaussian({2, 9, 40}, 5), weight = test::gaussian({24, 40}, 6),
                   bias = test::gaussian({24}, 7);
  const at::Tensor weights = test::gaussian({2, 9, 24}, 8);
  at::Tensor out[2], dx[2], dw[2], db[2];
  for (const int half : {0, 1}) {
    const at::Tensor x = test::leaf(values), w = test::leaf(weight), b = test::leaf(bias);
    const at::Tensor y = product(x, w, b, half ? Product::bfloat16 : Product::float32);
    (y * weights).sum().backward();
    out[half] = y;
    dx[half] = x.grad();
    dw[half] = w.grad();
    db[half] = b.grad();
  }
  // Three roundings of 2^-9 relative, of terms that add up with random signs: below 2^-7 of the largest value.
  CHECK(test::relative_distance(out[1], out[0]) < 1.0 / 128);
  CHECK(test::relative_distance(dx[1], dx[0]) < 1.0 / 128);
  CHECK(test::relative_distance(dw[1], dw[0]) < 1.0 / 128);
  CHECK(test::relative_distance(db[1], db[0]) < 1e-5);
  CHECK(test::relative_distance(out[1], out[0]) > 1e-5);  // and it is not the same path twice
}
