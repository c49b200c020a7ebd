// Norm folding and rotation of the residual stream. Specification methods 6.1, 6.2.
#include <stdexcept>
#include <vector>

#include "models/decoder/decoder_network.h"
#include "models/weight_algebra.h"

namespace stamp {
namespace {

std::vector<double> doubles(const at::Tensor& norm) {
  const float* values = norm.const_data_ptr<float>();
  return {values, values + norm.numel()};
}

void require_plain(bool plain) {
  if (!plain) throw std::logic_error("weights can be changed only before they are packed");
}

}  // namespace

void DecoderNetwork::fold_norms(std::size_t block) {
  DecoderLayer& l = layers_[block];
  require_plain(!l.qkv.packed());
  const std::vector<double> attention = doubles(l.attention_norm), feed_forward = doubles(l.feed_forward_norm);
  for (LinearWeight& w : l.qkv.weights()) scale_inputs(w.weight, attention);
  for (LinearWeight& w : l.gate_up.weights()) scale_inputs(w.weight, feed_forward);
  l.attention_norm.fill_(1);
  l.feed_forward_norm.fill_(1);
}

void DecoderNetwork::fold_final_norm() {
  // The head is a tensor of its own even where the checkpoint ties it: embedding rows come from the file.
  head_.scale(doubles(final_norm_));
  final_norm_.fill_(1);
}

// x / rms(x) commutes with an orthonormal Q only where no norm weight stands between.
void DecoderNetwork::rotate(std::size_t block, const WeightRotation& q) {
  DecoderLayer& l = layers_[block];
  require_plain(!l.qkv.packed());
  for (LinearSite* reader : {&l.qkv, &l.gate_up})
    for (LinearWeight& w : reader->weights()) q.rotate_inputs(w.weight);
  if (!source_->config().post_norms) {
    for (LinearSite* writer : {&l.output, &l.down})
      for (LinearWeight& w : writer->weights()) q.rotate_outputs(w.weight, w.bias);
    return;
  }
  // A norm behind the writer: (y diag(w)) Q is not (y Q) diag(w), and no linear layer follows into which w could be
  // folded. The writers stay as they are and the branch is rotated behind its norm, online.
  if (embedding_rotations_.empty()) throw std::logic_error("the ends are rotated before the blocks");
  l.branch_rotations.push_back(embedding_rotations_.back());
}

void DecoderNetwork::rotate_ends(std::shared_ptr<const FeatureTransform> q) {
  head_.rotate(q);
  embedding_rotations_.push_back(std::move(q));
}

ResidualRotation::AttentionBlock DecoderNetwork::attention(std::size_t block) {
  const DecoderConfig& c = source_->config();
  DecoderLayer& l = layers_[block];
  return {&l.qkv, &l.output, &l.gate_up, &l.down, &l.key, &l.value, c.heads, c.kv_heads, c.head_dim};
}

}  // namespace stamp
