// Decoders of the fixtures before and after a method.
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "methods/method.h"
#include "models/decoder/decoder_network.h"
#include "models/network.h"
#include "unit/models/fixtures.h"

namespace stamp::test {

inline at::Tensor tensor_of(const std::vector<std::int64_t>& values) {
  at::Tensor out = at::empty({static_cast<std::int64_t>(values.size())}, at::TensorOptions(at::kLong));
  std::copy(values.begin(), values.end(), out.data_ptr<std::int64_t>());
  return out;
}

// Logits at every position.
inline at::Tensor logits_of(Network& network, const std::vector<std::int64_t>& ids) {
  WorkItem item;
  item.inputs["ids"] = tensor_of(ids);
  item.inputs["want_logits"] = at::arange(static_cast<std::int64_t>(ids.size()), at::TensorOptions(at::kLong));
  item.inputs["without_loss"] = item.inputs["want_logits"];
  return network.run(item).named.at("logits");
}

// The method on every block, as the engine applies it.
inline void apply(const Method& method, Network& network, const MethodContext& context) {
  const std::unique_ptr<MethodRun> run = method.start(network, context);
  for (std::size_t block = 0; block < network.blocks(); ++block) run->block(block);
}

inline double largest(const at::Tensor& tensor) {
  const float* values = tensor.const_data_ptr<float>();
  double top = 0;
  for (std::int64_t i = 0; i < tensor.numel(); ++i) top = std::max(top, std::abs(static_cast<double>(values[i])));
  return top;
}

// NaN anywhere counts as infinitely far.
inline double distance(const at::Tensor& a, const at::Tensor& b) {
  const float* left = a.const_data_ptr<float>();
  const float* right = b.const_data_ptr<float>();
  double top = 0;
  for (std::int64_t i = 0; i < a.numel(); ++i) {
    const double d = std::abs(static_cast<double>(left[i]) - static_cast<double>(right[i]));
    if (std::isnan(d)) return INFINITY;
    top = std::max(top, d);
  }
  return top;
}

inline std::vector<std::int64_t> first_sample(const Checkpoint& checkpoint) {
  std::vector<std::int64_t> ids = ids_of(checkpoint, "in.ids");
  ids.resize(static_cast<std::size_t>(checkpoint.at("in.ids").shape[1]));
  return ids;
}

// A method changes weights in double and rounds them to float32 once more (2^-24 relative), and the pass then rounds at
// other places: the difference is of the size of that between two float32 implementations, which specification models
// 17.4 puts at 1e-5 of the largest value after a block; logits come out of one more product of the same kind.
constexpr double exact = 1e-5;

// GQA, biases everywhere, tied and untied heads, llama3 RoPE, windows, q and k norms, four norms, soft caps.
inline const std::vector<std::string>& tiny_decoders() {
  static const std::vector<std::string> names = {"llama_tiny_llama3rope",
                                                 "llama_tiny_untied_bias",
                                                 "qwen2_tiny",
                                                 "qwen2_tiny_window",
                                                 "mistral_tiny_window5",
                                                 "qwen3_tiny",
                                                 "gemma2_tiny",
                                                 "gemma3_tiny"};
  return names;
}

}  // namespace stamp::test
