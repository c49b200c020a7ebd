// A block small enough to print, made of numbers that any language can make: scripts/reference/flatquant.py makes the
// same.
#pragma once
#include <ATen/ops/empty.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_inv.h>

#include <string>
#include <utility>
#include <vector>

#include "training/flatquant_trainer.h"
#include "unit/training/tensors.h"

namespace stamp::test {

// Element i of stream k is ((7919 i + 104729 k) mod 2003) / 2003 - 1/2, times scale, plus shift.
inline at::Tensor numbers(std::vector<std::int64_t> shape, std::int64_t k, double scale = 1, double shift = 0) {
  at::Tensor out = at::empty(shape, at::TensorOptions(at::kDouble));
  double* values = out.data_ptr<double>();
  for (std::int64_t i = 0; i < out.numel(); ++i)
    values[i] = scale * (static_cast<double>((7919 * i + 104729 * k) % 2003) / 2003 - 0.5) + shift;
  return out;
}
inline at::Tensor float_numbers(std::vector<std::int64_t> shape, std::int64_t k, double scale = 1, double shift = 0) {
  return numbers(std::move(shape), k, scale, shift).to(at::kFloat);
}

struct FlatQuantCase {
  training::DecoderBlock block;
  training::FlatQuantBlock learned;
  QuantizationSpec quantization;
  at::Tensor x, target;                                    // 2 x 5 x 12
  std::vector<std::pair<std::string, at::Tensor>> leaves;  // what gradients are asked of, in order
};

// h 12 (2 x 6), f 18 (3 x 6, for 18 = 2 mod 4), 4 query heads, 2 key heads of 4, biases on q, k, v.
inline FlatQuantCase flatquant_case() {
  using training::FlatQuantSite;
  using training::FlatQuantWeight;
  FlatQuantCase c;
  training::BlockWeights& w = c.block.weights;
  w.attention_norm = float_numbers({12}, 1, 0.4, 1);
  w.feed_forward_norm = float_numbers({12}, 2, 0.4, 1);
  w.q = float_numbers({16, 12}, 3);
  w.k = float_numbers({8, 12}, 4);
  w.v = float_numbers({8, 12}, 5);
  w.o = float_numbers({12, 16}, 6);
  w.gate = float_numbers({18, 12}, 7);
  w.up = float_numbers({18, 12}, 8);
  w.down = float_numbers({12, 18}, 9);
  w.q_bias = float_numbers({16}, 10);
  w.k_bias = float_numbers({8}, 11);
  w.v_bias = float_numbers({8}, 12);
  c.block.shape.heads = 4;
  c.block.shape.kv_heads = 2;
  c.block.shape.head_dim = 4;
  c.block.shape.norm_eps = 1e-5;
  c.block.shape.scale = 0.5;
  c.block.frequencies = {1.0f, 0.1f};
  c.quantization.weights.bits = 4;
  c.quantization.weights.symmetric = true;
  c.quantization.activations.bits = 4;
  c.quantization.activations.symmetric = true;
  c.quantization.kv_cache.bits = 4;
  c.quantization.kv_cache.symmetric = false;
  c.x = float_numbers({2, 5, 12}, 13, 4);
  c.target = float_numbers({2, 5, 12}, 14, 4);

  const auto leaf_of = [&](const std::string& name, const at::Tensor& value) {
    const at::Tensor leaf = value.clone().set_requires_grad(true);
    c.leaves.emplace_back(name, leaf);
    return leaf;
  };
  std::int64_t stream = 20;
  const auto matrix = [&](const std::string& name, std::int64_t n, at::Tensor& m, at::Tensor& inverse) {
    const at::Tensor value = numbers({n, n}, stream++, 0.6) + at::eye(n, at::TensorOptions(at::kDouble));
    m = leaf_of(name, value);
    inverse = leaf_of(name + "_inverse", at::linalg_inv(value));
  };
  const std::vector<std::pair<FlatQuantSite, std::pair<std::int64_t, std::int64_t>>> wide = {
      {FlatQuantSite::qkv, {2, 6}}, {FlatQuantSite::gate_up, {2, 6}}, {FlatQuantSite::down, {3, 6}}};
  const std::vector<std::string> names = {"qkv", "gate_up", "down"};
  for (std::size_t i = 0; i < wide.size(); ++i) {
    training::LearnedTransform& t = c.learned.transform(wide[i].first);
    matrix(names[i] + "_left", wide[i].second.first, t.left, t.left_inverse);
    matrix(names[i] + "_right", wide[i].second.second, t.right, t.right_inverse);
    t.diagonal =
        leaf_of(names[i] + "_diagonal", numbers({wide[i].second.first * wide[i].second.second}, stream++, 0.8, 1));
  }
  training::LearnedTransform &o = c.learned.transform(FlatQuantSite::output),
                             &k = c.learned.transform(FlatQuantSite::key),
                             &v = c.learned.transform(FlatQuantSite::value);
  matrix("heads", 4, o.left, o.left_inverse);
  matrix("key", 4, k.right, k.right_inverse);
  matrix("value", 4, v.right, v.right_inverse);
  const std::vector<std::string> sites = {"qkv", "key", "value", "output", "gate_up", "down"};
  for (std::size_t i = 0; i < sites.size(); ++i) {
    c.learned.activation_clips[i].low = leaf_of(sites[i] + "_clip_low", numbers({1}, stream++, 0.1, 0.85));
    c.learned.activation_clips[i].high = leaf_of(sites[i] + "_clip_high", numbers({1}, stream++, 0.1, 0.85));
  }
  const std::vector<std::pair<std::string, std::int64_t>> weights = {{"q", 16},    {"k", 8},   {"v", 8},    {"o", 12},
                                                                     {"gate", 18}, {"up", 18}, {"down", 12}};
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const auto& [name, rows] = weights[i];
    c.learned.weight_clips[i].low = leaf_of(name + "_rows_low", numbers({rows}, stream++, 0.2, 0.85));
    c.learned.weight_clips[i].high = leaf_of(name + "_rows_high", numbers({rows}, stream++, 0.2, 0.85));
  }
  return c;
}

}  // namespace stamp::test
