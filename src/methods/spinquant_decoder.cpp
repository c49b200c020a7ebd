#include "methods/spinquant_decoder.h"

#include <cmath>

#include "base/error.h"
#include "models/decoder/decoder_network.h"

namespace stamp {
namespace {

using training::BlockShape;
using training::BlockWeights;

BlockShape shape_of(const DecoderConfig& c, std::int64_t block) {
  BlockShape shape;
  shape.heads = c.heads;
  shape.kv_heads = c.kv_heads;
  shape.head_dim = c.head_dim;
  shape.norm_eps = c.norm_eps;
  shape.scale = c.attention_scale > 0 ? c.attention_scale : 1 / std::sqrt(static_cast<double>(c.head_dim));
  shape.window = c.windows[static_cast<std::size_t>(block)];
  shape.softcap = c.attention_softcap;
  shape.gate = c.activation == Activation::silu ? training::Gate::silu : training::Gate::gelu_tanh;
  return shape;
}

BlockWeights weights_of(DecoderLayer& layer) {
  const std::vector<LinearWeight>& qkv = layer.qkv.weights();
  const std::vector<LinearWeight>& gate_up = layer.gate_up.weights();
  const LinearWeight &o = layer.output.weights()[0], &down = layer.down.weights()[0];
  BlockWeights w;
  w.attention_norm = layer.attention_norm;
  w.q = qkv[0].weight;
  w.k = qkv[1].weight;
  w.v = qkv[2].weight;
  w.q_bias = qkv[0].bias;
  w.k_bias = qkv[1].bias;
  w.v_bias = qkv[2].bias;
  w.o = o.weight;
  w.o_bias = o.bias;
  w.feed_forward_norm = layer.feed_forward_norm;
  w.gate = gate_up[0].weight;
  w.up = gate_up[1].weight;
  w.gate_bias = gate_up[0].bias;
  w.up_bias = gate_up[1].bias;
  w.down = down.weight;
  w.down_bias = down.bias;
  return w;
}

// What the rotations of SpinQuant and the differentiable block do not cover.
void require_known(const DecoderConfig& c) {
  if (c.post_norms || c.sliding_rope || c.final_softcap > 0)
    throw TrialError("method",
                     "spinquant trains decoders without post norms, soft-capped logits and a RoPE of their own in "
                     "sliding layers; this one is " +
                         c.architecture + " (learn: false does not train)");
}

}  // namespace

training::FrozenDecoder frozen_decoder(Network& network) {
  auto* decoder = dynamic_cast<DecoderNetwork*>(&network);
  if (!decoder) throw TrialError("method", "spinquant trains decoders only");
  const DecoderConfig& c = decoder->config();
  require_known(c);
  training::FrozenDecoder out;
  out.hidden = c.hidden;
  for (std::int64_t i = 0; i < c.layers; ++i) out.shapes.push_back(shape_of(c, i));
  out.frequencies = decoder->rope_frequencies();
  out.norm_eps = c.norm_eps;
  out.head = decoder->head_weight();
  out.embed = [decoder](const at::Tensor& ids) {
    WorkItem item;
    item.inputs["ids"] = ids;
    return decoder->enter(item);
  };
  out.resident = decoder->layer(0).loaded();
  out.block = [decoder](std::size_t i) {
    decoder->load(i);
    return weights_of(decoder->layer(i));
  };
  if (!out.resident) out.release = [decoder](std::size_t i) { decoder->release(i); };
  return out;
}

}  // namespace stamp
