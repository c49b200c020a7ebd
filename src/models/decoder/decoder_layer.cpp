#include "models/decoder/decoder_layer.h"

#include <stdexcept>

#include "models/decoder/segment_attention.h"
#include "models/tensors.h"

namespace stamp {
namespace {

void load_linear(LinearWeight& to, const LinearTensors& tensors) {
  to.weight = load_matrix(*tensors.weight);
  if (tensors.bias) to.bias = load_vector(*tensors.bias);
}

// A projection that RoPE rotates.
void load_rotated(LinearWeight& to, const LinearTensors& tensors, const DecoderConfig& config) {
  if (!config.paired_rows) return load_linear(to, tensors);
  to.weight = load_unpaired(*tensors.weight, config.head_dim);
  if (tensors.bias) to.bias = load_unpaired(*tensors.bias, config.head_dim);
}

}  // namespace

DecoderLayer::DecoderLayer(const DecoderSource& source, std::int64_t index, const SlotInfo* slots)
    : qkv(slots[0]),
      output(slots[3]),
      gate_up(slots[4]),
      down(slots[5]),
      key(slots[1]),
      value(slots[2]),
      source_(source),
      config_(source.config()),
      index_(index),
      window_(config_.windows[static_cast<std::size_t>(index)]) {
  for (LinearSite* site : sites())
    for (const std::string& name : site->info().linears) site->weights().push_back({name, {}, {}});
  qkv.input_scale = &attention_norm;
  gate_up.input_scale = &feed_forward_norm;
}

void DecoderLayer::load() {
  if (loaded()) return;
  const DecoderLayerTensors& t = source_.tensors().layers[static_cast<std::size_t>(index_)];
  attention_norm = source_.load_norm(*t.attention_norm);
  feed_forward_norm = source_.load_norm(*t.feed_forward_norm);
  if (config_.qk_norm) {
    q_norm = source_.load_norm(*t.q_norm);
    k_norm = source_.load_norm(*t.k_norm);
  }
  if (config_.post_norms) {
    post_attention_norm = source_.load_norm(*t.post_attention_norm);
    post_feed_forward_norm = source_.load_norm(*t.post_feed_forward_norm);
  }
  load_rotated(qkv.weights()[0], t.q, config_);
  load_rotated(qkv.weights()[1], t.k, config_);
  load_linear(qkv.weights()[2], t.v);
  load_linear(output.weights()[0], t.o);
  load_linear(gate_up.weights()[0], t.gate);
  load_linear(gate_up.weights()[1], t.up);
  load_linear(down.weights()[0], t.down);
}

void DecoderLayer::release() {
  for (LinearSite* site : sites()) site->release();
  for (at::Tensor* norm :
       {&attention_norm, &feed_forward_norm, &q_norm, &k_norm, &post_attention_norm, &post_feed_forward_norm})
    norm->reset();
  branch_rotations.clear();
}

void DecoderLayer::pack() {
  for (LinearSite* site : sites()) site->pack();
}

at::Tensor DecoderLayer::normed_input(const at::Tensor& residual) const {
  at::Tensor normed = fresh_matrix(residual.size(0), residual.size(1));
  rms_norm(const_view(residual), attention_norm.const_data_ptr<float>(), static_cast<float>(config_.norm_eps),
           view(normed));
  return normed;
}

void DecoderLayer::norm_heads(at::Tensor& x, const at::Tensor& weight) const {
  if (!weight.defined()) return;
  const MatrixView whole = view(x);
  const std::int64_t hd = config_.head_dim;
  const MatrixView heads{whole.data, whole.rows * (whole.cols / hd), hd, hd};
  rms_norm(heads, weight.const_data_ptr<float>(), static_cast<float>(config_.norm_eps), heads);
}

void DecoderLayer::norm_branch(at::Tensor& x, const at::Tensor& weight) const {
  if (!weight.defined()) return;
  rms_norm(const_view(x), weight.const_data_ptr<float>(), static_cast<float>(config_.norm_eps), view(x));
  for (const auto& rotation : branch_rotations) rotation->apply(view(x));
}

at::Tensor DecoderLayer::attend(at::Tensor pending, const Segments& segments, const RopeTable& rope, KvCache* cache) {
  std::vector<at::Tensor> projected = qkv.forward(std::move(pending), segments);
  at::Tensor q = std::move(projected[0]), k = std::move(projected[1]), v = std::move(projected[2]);
  norm_heads(q, q_norm);
  norm_heads(k, k_norm);
  for_each_segment(segments, [&](const Segment& segment, std::int64_t first) {
    apply_rope(rows_of(q, first, segment.rows), rope, segment.position);
    apply_rope(rows_of(k, first, segment.rows), rope, segment.position);
  });
  key.rotate(q);
  AttentionShape shape;
  shape.heads = config_.heads;
  shape.kv_heads = config_.kv_heads;
  shape.head_dim = config_.head_dim;
  shape.window = window_;
  shape.scale = static_cast<float>(config_.attention_scale);
  shape.softcap = static_cast<float>(config_.attention_softcap);
  if (cache) {  // quantizes what it stores itself
    key.rotate_keys(k);
    value.rotate_keys(v);
    cache->attend(index_, const_view(q), const_view(k), const_view(v), shape, view(q));
    return q;
  }
  key.process(k, segments);
  value.process(v, segments);
  segment_attention(q, k, v, shape, segments);
  return q;
}

at::Tensor DecoderLayer::feed_forward_input(at::Tensor& residual, at::Tensor pending, const Segments& segments) {
  at::Tensor attended = output.forward(std::move(pending), segments)[0];
  norm_branch(attended, post_attention_norm);
  at::Tensor normed = fresh_matrix(residual.size(0), residual.size(1));
  add_rms_norm(view(residual), const_view(attended), feed_forward_norm.const_data_ptr<float>(),
               static_cast<float>(config_.norm_eps), view(normed));
  return normed;
}

at::Tensor DecoderLayer::activate(at::Tensor pending, const Segments& segments) {
  std::vector<at::Tensor> halves = gate_up.forward(std::move(pending), segments);
  if (config_.activation == Activation::silu)
    silu_multiply(view(halves[0]), const_view(halves[1]));
  else
    gelu_tanh_multiply(view(halves[0]), const_view(halves[1]));
  return std::move(halves[0]);
}

void DecoderLayer::add_feed_forward(at::Tensor& residual, at::Tensor pending, const Segments& segments) {
  at::Tensor branch = down.forward(std::move(pending), segments)[0];
  norm_branch(branch, post_feed_forward_norm);
  add(view(residual), const_view(branch));
}

void DecoderLayer::step(std::size_t k, BlockState& state, const Segments& segments, const RopeTable& rope,
                        KvCache* cache) {
  at::Tensor pending = std::move(state.pending);
  switch (k) {
    case 0: state.pending = normed_input(state.residual); break;
    case 1: state.pending = attend(std::move(pending), segments, rope, cache); break;
    case 2: state.pending = feed_forward_input(state.residual, std::move(pending), segments); break;
    case 3: state.pending = activate(std::move(pending), segments); break;
    case 4: add_feed_forward(state.residual, std::move(pending), segments); break;
    default: throw std::logic_error("a decoder's block has four sites, five steps");
  }
}

}  // namespace stamp
