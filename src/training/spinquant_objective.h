// What SpinQuant minimises: the causal language-model loss of a decoder whose activations and caches are rounded, as a
// function of the rotations folded into it. Specification methods 7.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "training/block.h"
#include "training/fake_quantize.h"
#include "transforms/feature_transform.h"

namespace stamp::training {

// The model that stays as it is. Float32; weights may be inference tensors, they are only read.
struct FrozenDecoder {
  std::int64_t hidden = 0;                                 // h
  std::vector<BlockShape> shapes;                          // one a block; `product` is set by the objective's options
  std::vector<std::vector<float>> frequencies;             // of RoPE, one a block, hd / 2 each
  double norm_eps = 1e-6;                                  // of the final norm
  double final_softcap = 0;                                // logits become cap * tanh(logit / cap); 0 = as they are
  at::Tensor head;                                         // V x h, the final norm's weight folded in
  std::function<at::Tensor(const at::Tensor& ids)> embed;  // s int64 -> s x h, rows before block 0
  // As the checkpoint has them. Called once an evaluation or twice, see `resident`.
  std::function<BlockWeights(std::size_t)> block;
  std::function<void(std::size_t)> release = {};  // the weights of block() may go; may be empty
  bool resident = true;  // all blocks are in memory: rotated weights are kept from the forward to the backward pass
};

// The learned parameters, float64: R1 (h x h), and R2 of every block (hd x hd), shared by its heads.
struct Rotations {
  at::Tensor residual;
  std::vector<at::Tensor> heads;
};

struct SpinQuantOptions {
  FakeQuantize activations, keys, values, weights;  // gradients pass unchanged whatever they say; bits >= 16: untouched
  std::shared_ptr<const FeatureTransform> key_rotation;   // R3 on every head of q and k after RoPE; null = none
  std::shared_ptr<const FeatureTransform> down_rotation;  // R4 before down_proj; null = none
  Product product = Product::bfloat16;
};

// The weights of a block with R1, R2 and R4 folded in, differentiable in r1 and r2 (float32): q, k, v, gate, up read
// x R1 and a norm without weight, o and down write rows times R1, v and o carry R2 between them. Where a norm stands
// behind o and down, they stay as they are and R1 is applied behind it.
BlockWeights fold_rotations(const BlockWeights& weights, const at::Tensor& r1, const at::Tensor& r2,
                            const FeatureTransform* down_rotation);
// x -> x R on the last dimension, differentiable in x; R orthonormal.
at::Tensor rotate_rows(const at::Tensor& x, const std::shared_ptr<const FeatureTransform>& r);

class SpinQuantObjective {
 public:
  SpinQuantObjective(FrozenDecoder model, SpinQuantOptions options);

  struct Value {
    double loss = 0;     // nats, mean over the predictions of all sequences
    Rotations gradient;  // of the loss, float64, as of free matrices; undefined members where only the loss was asked
  };
  // ids: b x s, int64; b sequences that do not see one another.
  Value loss(const Rotations& rotations, const at::Tensor& ids) const { return run(rotations, ids, false); }
  // Memory: the rows that enter every block (b s h floats each) and one block's graph, besides the rotated weights.
  Value gradient(const Rotations& rotations, const at::Tensor& ids) const { return run(rotations, ids, true); }

  std::size_t blocks() const { return model_.shapes.size(); }
  const FrozenDecoder& model() const { return model_; }

 private:
  Value run(const Rotations& rotations, const at::Tensor& ids, bool with_gradient) const;
  BlockWeights folded(std::size_t block, const at::Tensor& r1, const at::Tensor& r2) const;
  at::Tensor forward(std::size_t block, const at::Tensor& x, const BlockWeights& weights, const RopeAngles& rope) const;
  // The loss of the rows that leave the last block; with `gradient`, also its gradient by them.
  double head_loss(const at::Tensor& rows, const at::Tensor& ids, const at::Tensor& r1, at::Tensor* gradient) const;

  FrozenDecoder model_;
  SpinQuantOptions options_;
  std::vector<BlockHooks> hooks_;  // one a block
};

}  // namespace stamp::training
