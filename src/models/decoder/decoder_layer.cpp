#include "models/decoder/decoder_layer.h"

#include <cmath>

#include "models/kernels/attention.h"
#include "models/tensors.h"

namespace stamp {
namespace {

LinearWeight load_linear(const std::string& name, const LinearTensors& tensors) {
  return {name, load_matrix(*tensors.weight), tensors.bias ? load_vector(*tensors.bias) : at::Tensor()};
}

// A projection that RoPE rotates.
LinearWeight load_rotated(const std::string& name, const LinearTensors& tensors, const DecoderConfig& config) {
  if (!config.paired_rows) return load_linear(name, tensors);
  return {name, load_unpaired(*tensors.weight, config.head_dim),
          tensors.bias ? load_unpaired(*tensors.bias, config.head_dim) : at::Tensor()};
}

}  // namespace

DecoderLayer::DecoderLayer(const DecoderSource& source, std::int64_t index, const SlotInfo* slots)
    : qkv(slots[0]),
      output(slots[3]),
      gate_up(slots[4]),
      down(slots[5]),
      key(slots[1]),
      value(slots[2]),
      config_(source.config()),
      window_(config_.windows[static_cast<std::size_t>(index)]) {
  const DecoderLayerTensors& t = source.tensors().layers[static_cast<std::size_t>(index)];
  attention_norm = load_vector(*t.attention_norm);
  feed_forward_norm = load_vector(*t.feed_forward_norm);
  qkv.weights() = {load_rotated(slots[0].linears[0], t.q, config_), load_rotated(slots[0].linears[1], t.k, config_),
                   load_linear(slots[0].linears[2], t.v)};
  output.weights() = {load_linear(slots[3].linears[0], t.o)};
  gate_up.weights() = {load_linear(slots[4].linears[0], t.gate), load_linear(slots[4].linears[1], t.up)};
  down.weights() = {load_linear(slots[5].linears[0], t.down)};
  qkv.input_scale = &attention_norm;
  gate_up.input_scale = &feed_forward_norm;
}

void DecoderLayer::pack() {
  for (LinearSite* site : {&qkv, &output, &gate_up, &down}) site->pack();
}

void DecoderLayer::forward(at::Tensor& x, const RopeTable& rope) {
  const auto eps = static_cast<float>(config_.norm_eps);
  at::Tensor normed = fresh_matrix(x.size(0), x.size(1));
  rms_norm(const_view(x), attention_norm.const_data_ptr<float>(), eps, view(normed));

  std::vector<at::Tensor> projected = qkv.forward(std::move(normed));
  at::Tensor q = std::move(projected[0]), k = std::move(projected[1]), v = std::move(projected[2]);
  apply_rope(view(q), rope);
  apply_rope(view(k), rope);
  key.rotate(q);
  key.process(k);
  value.process(v);
  AttentionShape shape;
  shape.heads = config_.heads;
  shape.kv_heads = config_.kv_heads;
  shape.head_dim = config_.head_dim;
  shape.window = window_;
  shape.scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim));
  causal_attention(const_view(q), const_view(k), const_view(v), shape, view(q));
  k.reset();
  v.reset();

  at::Tensor attended = output.forward(std::move(q))[0];
  normed = fresh_matrix(x.size(0), x.size(1));
  add_rms_norm(view(x), const_view(attended), feed_forward_norm.const_data_ptr<float>(), eps, view(normed));
  attended.reset();

  std::vector<at::Tensor> halves = gate_up.forward(std::move(normed));
  silu_multiply(view(halves[0]), const_view(halves[1]));
  at::Tensor activated = std::move(halves[0]);
  halves.clear();
  add(view(x), const_view(down.forward(std::move(activated))[0]));
}

}  // namespace stamp
