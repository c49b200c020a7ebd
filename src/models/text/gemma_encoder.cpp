#include "models/text/gemma_encoder.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <stdexcept>

#include "models/decoder/decoder_network.h"
#include "models/tensors.h"

namespace stamp {

GemmaEncoder::GemmaEncoder(std::shared_ptr<const Checkpoint> checkpoint)
    : source_(std::make_shared<const DecoderSource>(std::move(checkpoint))) {}

std::int64_t GemmaEncoder::width() const {
  return source_->config().hidden;
}

std::vector<at::Tensor> GemmaEncoder::encode(const std::vector<TokenIds>& prompts) const {
  if (prompts.empty()) return {};
  std::vector<std::int64_t> ids;
  WorkItem item;
  for (const TokenIds& prompt : prompts) {
    if (prompt.empty()) throw std::logic_error("a text to encode has at least one token");
    ids.insert(ids.end(), prompt.begin(), prompt.end());
    Segment segment;
    segment.rows = static_cast<std::int64_t>(prompt.size());
    item.segments.push_back(segment);
  }
  at::Tensor tensor = at::empty({static_cast<std::int64_t>(ids.size())}, at::TensorOptions(at::kLong));
  std::copy(ids.begin(), ids.end(), tensor.data_ptr<std::int64_t>());
  item.inputs["ids"] = tensor;
  DecoderNetwork network(source_, false);
  at::Tensor rows = network.enter(item);
  for (std::size_t block = 0; block < network.blocks(); ++block) {
    network.load(block);
    network.forward(block, rows, item);
    network.release(block);
  }
  network.final_norm(rows);
  std::vector<at::Tensor> out;
  std::int64_t first = 0;
  for (const Segment& segment : item.segments) {
    out.push_back(contiguous_copy(rows.narrow(0, first, segment.rows)));
    first += segment.rows;
  }
  return out;
}

std::vector<at::Tensor> GemmaEncoder::encode(const std::vector<SanaPrompt>& prompts) const {
  std::vector<TokenIds> ids;
  for (const SanaPrompt& prompt : prompts) ids.push_back(prompt.ids);
  std::vector<at::Tensor> all = encode(ids);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::int64_t tokens = all[i].size(0), first = std::min(prompts[i].first_kept, tokens);
    if (first > 1) all[i] = at::cat({all[i].narrow(0, 0, 1), all[i].narrow(0, first, tokens - first)});
  }
  return all;
}

}  // namespace stamp
