// The float32 product behind every linear layer: y = x W^T + b. LibTorch's default (MKL) leaves speed on the table on
// processors it does not know; oneDNN with weights in its own layout does not (specification models 0.3).
#pragma once
#include <ATen/core/Tensor.h>

#include <string>

namespace stamp {

// W (m x d, dense float32) in oneDNN's layout; W itself where this LibTorch was built without oneDNN.
at::Tensor pack_weight(const at::Tensor& weight);
// x: s x d dense. `weight` packed or plain; `bias` (m) may be undefined. A fresh s x m tensor.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
std::string linear_backend();  // "oneDNN, packed weights" or "ATen"

// A weight that is plain until packed, then packed only.
class Linear {
 public:
  Linear() = default;
  explicit Linear(at::Tensor weight) : weight_(std::move(weight)) {}
  at::Tensor& plain() { return weight_; }  // undefined once packed
  bool packed() const { return packed_.defined(); }
  bool defined() const { return packed_.defined() || weight_.defined(); }
  void pack();
  at::Tensor forward(const at::Tensor& x) const { return stamp::linear(x, packed() ? packed_ : weight_, {}); }

 private:
  at::Tensor weight_, packed_;
};

}  // namespace stamp
