#include "models/decoder/decoder_network.h"

#include <algorithm>

#include "base/error.h"
#include "models/decoder/segment_attention.h"
#include "models/kernels/elementwise.h"
#include "models/tensors.h"

namespace stamp {
namespace {

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

}  // namespace

DecoderNetwork::DecoderNetwork(std::shared_ptr<const DecoderSource> source, bool load_blocks)
    : source_(std::move(source)),
      head_(source_->tensors().head ? *source_->tensors().head : *source_->tensors().embedding),
      streamed_(!load_blocks) {
  const std::vector<SlotInfo> slots = decoder_slots(source_->config());
  const std::size_t per_layer = slots.size() / static_cast<std::size_t>(source_->config().layers);
  for (std::int64_t i = 0; i < source_->config().layers; ++i)
    layers_.emplace_back(*source_, i, slots.data() + static_cast<std::size_t>(i) * per_layer);
  if (load_blocks)
    for (DecoderLayer& l : layers_) l.load();
  const DecoderTensors& tensors = source_->tensors();
  final_norm_ = source_->load_norm(*tensors.final_norm);
  rope_.frequencies = source_->rope_frequencies();
  sliding_rope_.frequencies = source_->sliding_rope_frequencies();
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
  if (const double multiplier = source_->config().embedding_multiplier; multiplier != 1)
    scale_by(view(x), static_cast<float>(multiplier));
  for (const auto& rotation : embedding_rotations_) rotation->apply(view(x));
  return x;
}

bool DecoderNetwork::slides_by_itself(std::size_t block) const {
  return source_->config().sliding_rope && source_->config().windows[block] > 0;
}

const std::vector<float>& DecoderNetwork::rope_frequencies(std::size_t block) const {
  return (slides_by_itself(block) ? sliding_rope_ : rope_).frequencies;
}

const RopeTable& DecoderNetwork::rope(std::size_t block, std::int64_t positions) {
  auto& [frequencies, table] = slides_by_itself(block) ? sliding_rope_ : rope_;
  if (static_cast<std::int64_t>(table.cosines.size()) < positions * table.half || table.half == 0)
    table = rope_table((positions + 255) / 256 * 256, frequencies);  // decoding asks for one more every time
  return table;
}

void DecoderNetwork::final_norm(at::Tensor& x) const {
  rms_norm(const_view(x), final_norm_.const_data_ptr<float>(), static_cast<float>(source_->config().norm_eps), view(x));
}

at::Tensor DecoderNetwork::head(const at::Tensor& x) const {
  at::Tensor logits = head_.logits(x);
  const auto cap = static_cast<float>(source_->config().final_softcap);
  if (cap > 0) soft_cap(view(logits), cap);
  return logits;
}

HeadOutputs DecoderNetwork::wanted_of(const WorkItem& item) const {
  checked_ids(item, source_->config().vocabulary);
  return HeadOutputs(item, source_->config().vocabulary, static_cast<float>(source_->config().final_softcap));
}

void DecoderNetwork::pack_ends() {
  head_.hold(true);
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
  layers_[block].step(k, state, segments, rope(block, positions), item.cache);
}

Outputs DecoderNetwork::leave(at::Tensor rows, const WorkItem& item) {
  HeadOutputs outputs = wanted_of(item);
  final_norm(rows);
  // Run before it is packed, as a network may be.
  if (!streamed_ && !head_.held()) head_.hold(false);
  for (std::size_t piece = 0; piece < head_.pieces(); ++piece)
    outputs.add(rows, head_.piece(piece), head_.first_row(piece));
  return outputs.finish();
}

void DecoderNetwork::leave_all(const Leaving& leaving) {
  std::vector<HeadOutputs> outputs;
  for (std::int64_t i = 0; i < leaving.count; ++i) {
    outputs.push_back(wanted_of(leaving.item(i)));
    at::Tensor rows = leaving.rows(i);
    final_norm(rows);
    leaving.rest(i);
  }
  for (std::size_t piece = 0; piece < head_.pieces(); ++piece) {
    const Linear weight = head_.piece(piece);
    for (std::int64_t i = 0; i < leaving.count; ++i) {
      outputs[static_cast<std::size_t>(i)].add(leaving.rows(i), weight, head_.first_row(piece));
      leaving.rest(i);
    }
  }
  for (std::int64_t i = 0; i < leaving.count; ++i)
    leaving.take(leaving.item(i), outputs[static_cast<std::size_t>(i)].finish());
}

}  // namespace stamp
