// Slots: where a network observes, transforms and quantizes its activations.
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include "base/error.h"
#include "models/linear.h"
#include "models/network.h"
#include "models/tensors.h"

namespace stamp {

void Slot::pass(MatrixView x) {
  if (observer_) observer_(info_, x);
  if (!quantizer_) return;
  const SlotQuantizer& q = *quantizer_;
  if (q.transform->tokens() != x.rows)
    throw TrialError("tokens", info_.name + ": the sequence transform covers " + std::to_string(q.transform->tokens()) +
                                   " tokens, the sample has " + std::to_string(x.rows));
  quantize_sequence(x, *q.transform, q.bits, q.grid, x, q.statistics, *q.workspace);
}

void LinearSite::pack() {
  if (!packed_.empty()) return;
  for (LinearWeight& w : weights_) {
    packed_.push_back(pack_weight(w.weight));
    w.weight.reset();
  }
}

std::vector<at::Tensor> LinearSite::forward(at::Tensor x) {
  if (online_ || observer_ || quantizer_) {
    // The transform and the quantizer work in place: a tensor that somebody else still reads is copied first.
    const bool changes = online_ || quantizer_;
    if (!x.is_contiguous() || (changes && x.use_count() > 1)) x = contiguous_copy(x);
    if (online_) online_->apply(view(x));
    pass(view(x));
  }
  std::vector<at::Tensor> outputs;
  outputs.reserve(weights_.size());
  for (std::size_t i = 0; i < weights_.size(); ++i)
    outputs.push_back(linear(x, packed_.empty() ? weights_[i].weight : packed_[i], weights_[i].bias));
  return outputs;
}

namespace {
// s x (n * hd) as (s * n) x hd.
MatrixView by_head(at::Tensor& x, std::int64_t head_dim) {
  const MatrixView whole = view(x);
  return {whole.data, whole.rows * (whole.cols / head_dim), head_dim, head_dim};
}
}  // namespace

void CacheSite::process(at::Tensor& k) {
  if (rotation_) rotation_->apply(by_head(k, rotation_->size()));
  pass(view(k));
}

void CacheSite::rotate(at::Tensor& q) const {
  if (rotation_) rotation_->apply(by_head(q, rotation_->size()));
}

}  // namespace stamp
