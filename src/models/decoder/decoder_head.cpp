#include "models/decoder/decoder_head.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "base/error.h"
#include "base/memory.h"
#include "models/decoder/decoder_loader.h"
#include "models/kernels/elementwise.h"
#include "models/tensors.h"

namespace stamp {
namespace {

// Rows of logits at a time: with a piece of the vocabulary 17 MB, which stay in the cache until their losses are
// summed.
constexpr std::int64_t logit_rows = 256;

TensorInfo rows_of_tensor(const TensorInfo& tensor, std::int64_t first, std::int64_t count) {
  TensorInfo part = tensor;
  const std::uint64_t row = tensor.bytes / static_cast<std::uint64_t>(tensor.rows());
  part.shape = {count, tensor.columns()};
  part.data = tensor.data + row * static_cast<std::uint64_t>(first);
  part.bytes = row * static_cast<std::uint64_t>(count);
  return part;
}

at::Tensor checked_targets(const at::Tensor& targets, std::int64_t rows, std::int64_t vocabulary) {
  if (targets.dim() != 2 || targets.size(1) != 2 || targets.scalar_type() != at::kLong || targets.size(0) < 1)
    throw std::logic_error("targets are pairs of a row and an id, int64, one or more");
  at::Tensor pairs = targets.contiguous();
  const std::int64_t* values = pairs.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < pairs.size(0); ++i)
    if (values[2 * i] < 0 || values[2 * i] >= rows || values[2 * i + 1] < 0 || values[2 * i + 1] >= vocabulary)
      throw std::logic_error("a target lies outside the rows or the vocabulary");
  return pairs;
}

}  // namespace

DecoderHead::DecoderHead(const TensorInfo& weight, std::int64_t piece_rows)
    : weight_(weight),
      piece_rows_(piece_rows),
      held_(static_cast<std::size_t>((weight.rows() + piece_rows - 1) / piece_rows)) {}

void DecoderHead::scale(std::vector<double> factors) {
  if (held()) throw std::logic_error("a head can be changed only before it is held");
  changes_.push_back([f = std::move(factors)](at::Tensor& w) { scale_inputs(w, f); });
}

void DecoderHead::rotate(std::shared_ptr<const FeatureTransform> r) {
  if (held()) throw std::logic_error("a head can be changed only before it is held");
  // The dense matrix is made when the first piece is read, not when the method starts: its memory is needed then only.
  auto made = std::make_shared<std::unique_ptr<const WeightRotation>>();
  changes_.push_back([r = std::move(r), made](at::Tensor& w) {
    if (!*made) *made = std::make_unique<const WeightRotation>(*r);
    (*made)->rotate_inputs(w);
  });
}

at::Tensor DecoderHead::read(std::size_t piece) const {
  const std::int64_t first = first_row(piece), count = std::min(piece_rows_, vocabulary() - first);
  at::Tensor weight = load_matrix(rows_of_tensor(weight_, first, count));
  for (const auto& change : changes_) change(weight);
  return weight;
}

void DecoderHead::hold(bool packed) {
  for (std::size_t i = 0; i < held_.size(); ++i) {
    if (!held_[i].defined()) held_[i] = Linear(read(i));
    if (packed) held_[i].pack();
  }
  changes_.clear();  // done; what they hold is of no use any more
}

Linear DecoderHead::piece(std::size_t i) const {
  if (held()) return held_[i];
  Linear fresh(read(i));
  fresh.pack();
  return fresh;
}

at::Tensor DecoderHead::logits(const at::Tensor& rows) const {
  at::Tensor out = fresh_matrix(rows.size(0), vocabulary());
  for (std::size_t i = 0; i < pieces(); ++i) {
    const at::Tensor part = piece(i).forward(rows);
    out.narrow(1, first_row(i), part.size(1)).copy_(part);
  }
  return out;
}

at::Tensor DecoderHead::whole() const {
  if (held()) throw std::logic_error("a held head has forgotten its changes");
  at::Tensor out = fresh_matrix(vocabulary(), weight_.columns());
  for (std::size_t i = 0; i < pieces(); ++i) {
    const at::Tensor part = read(i);
    out.narrow(0, first_row(i), part.size(0)).copy_(part);
  }
  return out;
}

HeadOutputs::HeadOutputs(const WorkItem& item, std::int64_t vocabulary, float cap)
    : vocabulary_(vocabulary), cap_(cap) {
  const at::Tensor& ids = item.inputs.at("ids");
  if (const auto wanted = item.inputs.find("want_logits"); wanted != item.inputs.end()) {
    wanted_ = wanted->second;
    logits_ = fresh_matrix(wanted_.size(0), vocabulary);
  }
  if (const auto targets = item.inputs.find("targets"); targets != item.inputs.end()) {
    const at::Tensor pairs = checked_targets(targets->second, ids.size(0), vocabulary);
    rows_ = pairs.select(1, 0).contiguous();
    ids_ = pairs.select(1, 1).contiguous();
    scored_ = true;
  } else if (!item.inputs.count("without_loss")) {
    ids_ = ids.narrow(0, 1, ids.size(0) - 1).contiguous();
  }
  if (ids_.defined()) losses_.resize(static_cast<std::size_t>(ids_.size(0)));
}

void HeadOutputs::add(const at::Tensor& normed, const Linear& piece, std::int64_t first_id) {
  const auto capped = [&](const at::Tensor& x) {
    at::Tensor logits = piece.forward(x);
    if (cap_ > 0) soft_cap(view(logits), cap_);
    return logits;
  };
  if (wanted_.defined()) {
    const at::Tensor part = capped(at::index_select(normed, 0, wanted_));
    logits_.narrow(1, first_id, part.size(1)).copy_(part);
  }
  for (std::int64_t first = 0; first < static_cast<std::int64_t>(losses_.size()); first += logit_rows) {
    const std::int64_t n = std::min(logit_rows, static_cast<std::int64_t>(losses_.size()) - first);
    const at::Tensor logits =
        capped(scored_ ? at::index_select(normed, 0, rows_.narrow(0, first, n)) : normed.narrow(0, first, n));
    add_logits(const_view(logits), first_id, ids_.const_data_ptr<std::int64_t>() + first, losses_.data() + first);
  }
}

Outputs HeadOutputs::finish() {
  Outputs outputs;
  if (logits_.defined()) outputs.named["logits"] = std::move(logits_);
  if (!ids_.defined()) return outputs;
  const auto count = static_cast<std::int64_t>(losses_.size());
  at::Tensor values = fresh_matrix(1, count).reshape({count});
  float* out = values.data_ptr<float>();
  for (std::int64_t i = 0; i < count; ++i)
    out[i] = (scored_ ? -1.0f : 1.0f) * losses_[static_cast<std::size_t>(i)].value();
  if (!scored_) {
    outputs.named["token_nll"] = std::move(values);
    return outputs;
  }
  at::Tensor greedy = at::empty({count}, at::TensorOptions(at::kLong));
  const std::int64_t* wanted = ids_.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < count; ++i)
    greedy.data_ptr<std::int64_t>()[i] = losses_[static_cast<std::size_t>(i)].likeliest == wanted[i] ? 1 : 0;
  outputs.named["target_logprob"] = std::move(values);
  outputs.named["target_greedy"] = std::move(greedy);
  return outputs;
}

}  // namespace stamp
