#include "decoding/cached_sequence.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <optional>
#include <stdexcept>

namespace stamp {
namespace {

at::Tensor integers(std::initializer_list<std::int64_t> shape) {
  return at::empty(at::IntArrayRef(shape.begin(), shape.size()), at::TensorOptions(at::kLong));
}

at::Tensor last_row(std::size_t rows) {
  at::Tensor index = integers({1});
  *index.data_ptr<std::int64_t>() = static_cast<std::int64_t>(rows) - 1;
  return index;
}

// Takes the quantizers of the linear inputs away, and puts them back.
class InFullPrecision {
 public:
  explicit InFullPrecision(Network& network) : sites_(network.linear_sites()) {
    for (LinearSite* site : sites_) {
      quantizers_.push_back(site->quantizer());
      site->set_quantizer(nullptr);
    }
  }
  ~InFullPrecision() {
    for (std::size_t i = 0; i < sites_.size(); ++i) sites_[i]->set_quantizer(std::move(quantizers_[i]));
  }
  InFullPrecision(const InFullPrecision&) = delete;
  InFullPrecision& operator=(const InFullPrecision&) = delete;

 private:
  std::vector<LinearSite*> sites_;
  std::vector<std::shared_ptr<const SlotQuantizer>> quantizers_;
};

}  // namespace

CacheShape cache_shape(Network& network) {
  const std::vector<CacheSite*> sites = network.cache_sites();
  if (sites.empty() || sites.size() % 2 != 0) throw std::logic_error("the network has no key and value caches");
  const SlotInfo& first = sites.front()->info();
  for (const CacheSite* site : sites)
    if (site->info().features != first.features || site->info().heads != first.heads)
      throw std::logic_error("the caches of the network's layers differ in width");
  return {static_cast<std::int64_t>(sites.size() / 2), first.heads, first.features};
}

namespace {

// The rules' grid with what the method has learned about each cache's ranges.
std::vector<ActivationGrid> grids_of(Network& network, const ActivationGrid& common) {
  std::vector<ActivationGrid> grids;
  for (const CacheSite* site : network.cache_sites()) {  // key, value, layer by layer
    ActivationGrid grid = common;
    grid.learned_low = site->learned_range().low;
    grid.learned_high = site->learned_range().high;
    grid.learned_bits = site->learned_range().bits;
    grids.push_back(grid);
  }
  return grids;
}

}  // namespace

CachedSequence::CachedSequence(Network& network, const CacheRules& rules, CacheView view, bool full_continuation)
    : network_(network),
      cache_(rules, cache_shape(network).layers, cache_shape(network).width, view, grids_of(network, rules.grid)),
      full_continuation_(full_continuation) {}

Outputs CachedSequence::run(std::span<const std::int64_t> ids, bool prompt, const char* wanted, at::Tensor values) {
  const auto rows = static_cast<std::int64_t>(ids.size());
  WorkItem item;
  at::Tensor tokens = integers({rows});
  std::copy(ids.begin(), ids.end(), tokens.data_ptr<std::int64_t>());
  item.inputs["ids"] = std::move(tokens);
  item.inputs[wanted] = std::move(values);
  item.inputs["without_loss"] = at::Tensor();
  Segment segment;
  segment.rows = rows;
  segment.position = cache_.tokens();
  segment.transformed = prompt;
  item.segments = {segment};
  item.cache = &cache_;
  std::optional<InFullPrecision> unquantized;
  if (full_continuation_ && !prompt) unquantized.emplace(network_);
  return network_.run(item);
}

at::Tensor CachedSequence::prefill(std::span<const std::int64_t> ids) {
  if (ids.empty() || cache_.tokens() != 0) throw std::logic_error("a prompt has tokens and comes first");
  return run(ids, true, "want_logits", last_row(ids.size())).named.at("logits").select(0, 0);
}

at::Tensor CachedSequence::step(std::int64_t id) {
  return run(std::span(&id, 1), false, "want_logits", last_row(1)).named.at("logits").select(0, 0);
}

std::vector<float> CachedSequence::losses(std::span<const std::int64_t> ids, std::int64_t prompt,
                                          std::int64_t most_rows) {
  const auto n = static_cast<std::int64_t>(ids.size());
  if (prompt < 1 || prompt >= n || most_rows < 1 || cache_.tokens() != 0)
    throw std::logic_error("losses: a prompt of at least one token, then at least one token more, on an empty cache");
  std::vector<float> out;
  out.reserve(static_cast<std::size_t>(n - prompt));
  // Rows [begin, end) enter; rows from `first` on predict the token behind them.
  const auto score = [&](std::int64_t begin, std::int64_t end, std::int64_t first) {
    at::Tensor targets = integers({end - first, 2});
    std::int64_t* pair = targets.data_ptr<std::int64_t>();
    for (std::int64_t i = first; i < end; ++i) {
      *pair++ = i - begin;
      *pair++ = ids[static_cast<std::size_t>(i + 1)];
    }
    const Outputs outputs = run(ids.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)),
                                begin == 0, "targets", std::move(targets));
    const float* logprob = outputs.named.at("target_logprob").const_data_ptr<float>();
    for (std::int64_t i = first; i < end; ++i) out.push_back(-logprob[i - first]);
  };
  score(0, prompt, prompt - 1);
  for (std::int64_t row = prompt; row + 1 < n;) {
    const std::int64_t count = std::min({n - 1 - row, most_rows, cache_.until_closed()});
    score(row, row + count, row);
    row += count;
  }
  return out;
}

}  // namespace stamp
