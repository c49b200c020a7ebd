// The key and value caches of one sequence, all layers. A row attends to closed chunks as they are stored and to the
// rows of its own chunk as they came; the row that fills a chunk is the last to see it so. What a row sees depends on
// positions only, so that a prompt gives the same caches in one run, in several, or row by row.
// Specification methods 12.4, 2.5.
#pragma once
#include <cstdint>
#include <vector>

#include "decoding/chunked_rows.h"
#include "models/kv_cache.h"

namespace stamp {

// Attention reads float32. `rebuild`: closed chunks are restored in every run, layer by layer, into one buffer.
// `keep`: a float32 copy of the restored rows stays beside the packed ones. Both give the same numbers.
enum class CacheView { rebuild, keep };

class SequenceCache : public KvCache {
 public:
  // kv_width: nkv * hd. `grids`: of the keys and the values of layer 0, then of layer 1 and so on; empty: the rules'
  // own.
  SequenceCache(CacheRules rules, std::int64_t layers, std::int64_t kv_width, CacheView view,
                const std::vector<ActivationGrid>& grids = {});
  SequenceCache(const SequenceCache&) = delete;
  SequenceCache& operator=(const SequenceCache&) = delete;

  std::int64_t tokens() const override { return layers_.empty() ? 0 : layers_.back().rows; }
  void attend(std::int64_t layer, ConstMatrixView q, ConstMatrixView k, ConstMatrixView v, const AttentionShape& shape,
              MatrixView out) override;

  const CacheRules& rules() const { return rules_; }
  // Rows until the chunk of the next row is full; without limit where nothing is quantized.
  std::int64_t until_closed() const;
  std::uint64_t stored_bytes() const;   // packed chunks and open rows, keys and values of all layers
  std::uint64_t working_bytes() const;  // float32 rows that attention reads, beyond the stored ones

 private:
  struct Half {  // K or V
    Half(const CacheRules& rules, const ActivationGrid& grid) : closed(rules, grid) {}
    ChunkedRows closed;
    std::vector<float> open;  // rebuild: the rows behind the closed chunks; keep: all rows as attention reads them
  };
  struct Layer {
    Layer(const CacheRules& rules, const ActivationGrid& keys, const ActivationGrid& values)
        : k(rules, keys), v(rules, values) {}
    Half k, v;
    std::int64_t rows = 0;
  };
  bool copies() const { return rules_.quantizes() && view_ == CacheView::rebuild; }
  float* begin(Half& half, std::vector<float>& shared, std::int64_t rows, std::int64_t added) const;
  void end(Half& half, const std::vector<float>& shared, std::int64_t rows) const;

  CacheRules rules_;
  std::int64_t width_;
  CacheView view_;
  std::vector<Layer> layers_;
  std::vector<float> k_shared_, v_shared_;  // rebuild: all rows of the layer at hand
};

}  // namespace stamp
