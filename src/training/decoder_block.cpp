#include "training/decoder_block.h"

#include "base/error.h"
#include "models/decoder/decoder_network.h"

namespace stamp::training {
namespace {

at::Tensor copy(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.clone() : tensor;
}

}  // namespace

DecoderBlock read_block(Network& network, std::size_t block, const std::string& method) {
  auto* decoder = dynamic_cast<DecoderNetwork*>(&network);
  if (!decoder)
    throw TrialError("method", method + " trains the blocks of decoder language models; this model is none");
  DecoderLayer& layer = decoder->layer(block);
  const DecoderConfig& config = decoder->config();
  const auto linear = [&](LinearSite& site, std::size_t i, at::Tensor& weight, at::Tensor& bias) {
    if (!site.weights()[i].weight.defined())
      throw std::logic_error(site.info().name + ": training needs plain weights");
    weight = copy(site.weights()[i].weight);
    bias = copy(site.weights()[i].bias);
  };
  DecoderBlock out;
  BlockWeights& w = out.weights;
  w.attention_norm = copy(layer.attention_norm);
  w.feed_forward_norm = copy(layer.feed_forward_norm);
  w.q_norm = copy(layer.q_norm);
  w.k_norm = copy(layer.k_norm);
  w.attention_post_norm = copy(layer.post_attention_norm);
  w.feed_forward_post_norm = copy(layer.post_feed_forward_norm);
  linear(layer.qkv, 0, w.q, w.q_bias);
  linear(layer.qkv, 1, w.k, w.k_bias);
  linear(layer.qkv, 2, w.v, w.v_bias);
  linear(layer.output, 0, w.o, w.o_bias);
  linear(layer.gate_up, 0, w.gate, w.gate_bias);
  linear(layer.gate_up, 1, w.up, w.up_bias);
  linear(layer.down, 0, w.down, w.down_bias);
  out.shape.heads = config.heads;
  out.shape.kv_heads = config.kv_heads;
  out.shape.head_dim = config.head_dim;
  out.shape.norm_eps = config.norm_eps;
  out.shape.scale = config.attention_scale;
  out.shape.softcap = config.attention_softcap;
  out.shape.window = config.windows[block];
  out.shape.gate = config.activation == Activation::gelu_tanh ? Gate::gelu_tanh : Gate::silu;
  out.frequencies = decoder->rope_frequencies(block);
  return out;
}

}  // namespace stamp::training
