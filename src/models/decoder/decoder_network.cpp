#include "models/decoder/decoder_network.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include <algorithm>

#include "base/error.h"
#include "models/decoder/segment_attention.h"
#include "models/kernels/token_loss.h"
#include "models/tensors.h"

namespace stamp {
namespace {

// Rows of logits at a time: 256 x 49152 floats are 50 MB, and a GEMM of that many rows is as fast as a larger one.
constexpr std::int64_t logit_rows = 256;

at::Tensor checked_ids(const WorkItem& item, std::int64_t vocabulary) {
  const auto found = item.inputs.find("ids");
  if (found == item.inputs.end() || found->second.dim() != 1 || found->second.scalar_type() != at::kLong ||
      found->second.size(0) < 1)
    throw std::logic_error("a decoder's work item needs \"ids\", int64, one dimension, one token or more");
  const at::Tensor ids = found->second.contiguous();
  const std::int64_t* values = ids.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < ids.size(0); ++i)
    if (values[i] < 0 || values[i] >= vocabulary)
      throw DataError("token id " + std::to_string(values[i]) + " at position " + std::to_string(i) + " of item " +
                      std::to_string(item.index) + " is outside the model's vocabulary of " +
                      std::to_string(vocabulary));
  return ids;
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

DecoderNetwork::DecoderNetwork(std::shared_ptr<const DecoderSource> source, bool load_blocks)
    : source_(std::move(source)) {
  const std::vector<SlotInfo> slots = decoder_slots(source_->config());
  const std::size_t per_layer = slots.size() / static_cast<std::size_t>(source_->config().layers);
  for (std::int64_t i = 0; i < source_->config().layers; ++i)
    layers_.emplace_back(*source_, i, slots.data() + static_cast<std::size_t>(i) * per_layer);
  if (load_blocks)
    for (DecoderLayer& l : layers_) l.load();
  const DecoderTensors& tensors = source_->tensors();
  final_norm_ = load_vector(*tensors.final_norm);
  head_ = Linear(load_matrix(tensors.head ? *tensors.head : *tensors.embedding));
  frequencies_ = source_->rope_frequencies();
}

std::vector<LinearSite*> DecoderNetwork::linear_sites() {
  std::vector<LinearSite*> sites;
  for (DecoderLayer& l : layers_)
    for (LinearSite* site : l.sites()) sites.push_back(site);
  return sites;
}

std::vector<CacheSite*> DecoderNetwork::cache_sites() {
  std::vector<CacheSite*> sites;
  for (DecoderLayer& l : layers_)
    for (CacheSite* site : {&l.key, &l.value}) sites.push_back(site);
  return sites;
}

at::Tensor DecoderNetwork::embed(const at::Tensor& ids) const {
  at::Tensor x = fresh_matrix(ids.size(0), source_->config().hidden);
  gather_rows(*source_->tensors().embedding, ids.const_data_ptr<std::int64_t>(), ids.size(0), x.data_ptr<float>());
  for (const auto& rotation : embedding_rotations_) rotation->apply(view(x));
  return x;
}

const RopeTable& DecoderNetwork::rope(std::int64_t positions) {
  if (static_cast<std::int64_t>(rope_.cosines.size()) < positions * rope_.half || rope_.half == 0)
    rope_ = rope_table((positions + 255) / 256 * 256, frequencies_);  // decoding asks for one more every time
  return rope_;
}

void DecoderNetwork::final_norm(at::Tensor& x) const {
  rms_norm(const_view(x), final_norm_.const_data_ptr<float>(), static_cast<float>(source_->config().norm_eps), view(x));
}

at::Tensor DecoderNetwork::head(const at::Tensor& x) const {
  return head_.forward(x);
}

at::Tensor DecoderNetwork::losses(const at::Tensor& normed, const at::Tensor& ids) const {
  const std::int64_t targets = ids.size(0) - 1;
  at::Tensor out = fresh_matrix(1, targets).reshape({targets});
  for (std::int64_t first = 0; first < targets; first += logit_rows) {
    const std::int64_t count = std::min(logit_rows, targets - first);
    const at::Tensor logits = head(normed.narrow(0, first, count));
    token_losses(const_view(logits), ids.const_data_ptr<std::int64_t>() + first + 1, out.data_ptr<float>() + first);
  }
  return out;
}

void DecoderNetwork::score_targets(const at::Tensor& normed, const at::Tensor& targets, Outputs& outputs) const {
  const std::int64_t count = targets.size(0);
  at::Tensor logprob = fresh_matrix(1, count).reshape({count});
  at::Tensor greedy = at::empty({count}, at::TensorOptions(at::kLong));
  const at::Tensor rows = targets.select(1, 0).contiguous(), ids = targets.select(1, 1).contiguous();
  for (std::int64_t first = 0; first < count; first += logit_rows) {
    const std::int64_t n = std::min(logit_rows, count - first);
    const at::Tensor logits = head(at::index_select(normed, 0, rows.narrow(0, first, n)));
    const std::int64_t* wanted = ids.const_data_ptr<std::int64_t>() + first;
    float* out = logprob.data_ptr<float>() + first;
    token_losses(const_view(logits), wanted, out);
    for (std::int64_t i = 0; i < n; ++i) out[i] = -out[i];
    likeliest(const_view(logits), wanted, greedy.data_ptr<std::int64_t>() + first);
  }
  outputs.named["target_logprob"] = std::move(logprob);
  outputs.named["target_greedy"] = std::move(greedy);
}

at::Tensor DecoderNetwork::enter(const WorkItem& item) {
  return embed(checked_ids(item, source_->config().vocabulary));
}

void DecoderNetwork::step(std::size_t block, std::size_t k, BlockState& state, const WorkItem& item) {
  const std::int64_t rows = state.residual.size(0);
  const Segments segments = item.segments.empty() ? whole_sequence(rows) : item.segments;
  check_segments(segments, rows);
  std::int64_t positions = 0;
  for (const Segment& s : segments) positions = std::max(positions, s.position + s.rows);
  const bool attends = k == 1;  // before it the cache has none of the rows, in the last block all of them behind it
  if (item.cache && attends && (segments.size() != 1 || segments[0].position != item.cache->tokens()))
    throw std::logic_error("rows on a cache are one segment that begins where the cache ends");
  layers_[block].step(k, state, segments, rope(positions), item.cache);
}

Outputs DecoderNetwork::leave(at::Tensor rows, const WorkItem& item) {
  const at::Tensor ids = checked_ids(item, source_->config().vocabulary);
  final_norm(rows);
  Outputs outputs;
  if (const auto wanted = item.inputs.find("want_logits"); wanted != item.inputs.end())
    outputs.named["logits"] = head(at::index_select(rows, 0, wanted->second));
  if (const auto targets = item.inputs.find("targets"); targets != item.inputs.end())
    score_targets(rows, checked_targets(targets->second, rows.size(0), source_->config().vocabulary), outputs);
  else if (!item.inputs.count("without_loss"))
    outputs.named["token_nll"] = losses(rows, ids);
  return outputs;
}

}  // namespace stamp
