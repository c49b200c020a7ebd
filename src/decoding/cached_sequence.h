// A network on a cache: a prompt in one run, then rows that continue it. Specification methods 2.8, 2.11 (D3),
// models 3.7.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "decoding/sequence_cache.h"
#include "models/network.h"

namespace stamp {

// Widths of a network's caches; std::logic_error for a network without key and value caches of equal width.
struct CacheShape {
  std::int64_t layers = 0, heads = 0, width = 0;  // nkv, nkv * hd
  std::int64_t head_dim() const { return width / heads; }
};
CacheShape cache_shape(Network& network);

class CachedSequence {
 public:
  // `network` must outlive this. Its quantizers act on activations; what its cache slots would do, the cache does.
  // `full_continuation`: activations behind the prompt are left in full precision.
  CachedSequence(Network& network, const CacheRules& rules, CacheView view, bool full_continuation = false);

  // The prompt: one transformed sequence, the first rows of the cache. Logits behind its last token, V.
  at::Tensor prefill(std::span<const std::int64_t> ids);
  // One more token, by the decode rule. Logits behind it, V.
  at::Tensor step(std::int64_t id);
  // Losses (nats) of ids[prompt], ..., ids[n - 1], teacher-forced: the prompt is the first `prompt` ids, the others
  // come by the decode rule, at most `most_rows` in a run and never across the end of a chunk. Since rows of one chunk
  // see each other as they came, and quantizers of single rows know no neighbours, the grouping changes nothing but the
  // order of float32 sums. The sequence must be new; 1 <= prompt < n.
  std::vector<float> losses(std::span<const std::int64_t> ids, std::int64_t prompt, std::int64_t most_rows);

  const SequenceCache& cache() const { return cache_; }

 private:
  Outputs run(std::span<const std::int64_t> ids, bool prompt, const char* wanted, at::Tensor values);
  Network& network_;
  SequenceCache cache_;
  bool full_continuation_;
};

}  // namespace stamp
