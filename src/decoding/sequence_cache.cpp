#include "decoding/sequence_cache.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace stamp {

SequenceCache::SequenceCache(CacheRules rules, std::int64_t layers, std::int64_t kv_width, CacheView view,
                             const std::vector<ActivationGrid>& grids)
    : rules_(std::move(rules)), width_(kv_width), view_(view) {
  if (rules_.chunk < 1 || kv_width < 1 || layers < 1)
    throw std::logic_error("a cache needs layers, a width and chunks of at least one row");
  const auto count = static_cast<std::size_t>(layers);
  if (!grids.empty() && grids.size() != 2 * count) throw std::logic_error("a cache needs two grids a layer, or none");
  layers_.reserve(count);
  for (std::size_t i = 0; i < count; ++i)
    layers_.emplace_back(rules_, grids.empty() ? rules_.grid : grids[2 * i],
                         grids.empty() ? rules_.grid : grids[2 * i + 1]);
}

std::int64_t SequenceCache::until_closed() const {
  const std::int64_t rows = tokens();
  if (!rules_.closes(rows / rules_.chunk)) return std::numeric_limits<std::int64_t>::max();
  return rules_.chunk - rows % rules_.chunk;
}

// All `rows` rows of the layer, followed by room for `added`.
float* SequenceCache::begin(Half& half, std::vector<float>& shared, std::int64_t rows, std::int64_t added) const {
  const auto floats = static_cast<std::size_t>((rows + added) * width_);
  if (!copies()) {
    if (half.open.capacity() < floats) half.open.reserve(floats + floats / 4);
    half.open.resize(floats);
    return half.open.data();
  }
  if (shared.size() < floats) shared.resize(floats + floats / 4);
  const std::int64_t closed = half.closed.rows();
  half.closed.restore({shared.data(), closed, width_, width_});
  std::copy_n(half.open.data(), (rows - closed) * width_, shared.data() + closed * width_);
  return shared.data();
}

// Keeps the rows that are still open.
void SequenceCache::end(Half& half, const std::vector<float>& shared, std::int64_t rows) const {
  if (!copies()) return;
  const std::int64_t closed = half.closed.rows();
  half.open.assign(shared.data() + closed * width_, shared.data() + rows * width_);
}

void SequenceCache::attend(std::int64_t layer, ConstMatrixView q, ConstMatrixView k, ConstMatrixView v,
                           const AttentionShape& shape, MatrixView out) {
  if (layer < 0 || layer >= static_cast<std::int64_t>(layers_.size()) || k.cols != width_ || v.cols != width_ ||
      q.rows != k.rows || k.rows != v.rows || q.rows < 1)
    throw std::logic_error("rows that do not fit the cache");
  Layer& l = layers_[static_cast<std::size_t>(layer)];
  float* keys = begin(l.k, k_shared_, l.rows, k.rows);
  float* values = begin(l.v, v_shared_, l.rows, k.rows);
  // A piece ends where a chunk is full: the next row sees that chunk as it is stored.
  for (std::int64_t done = 0; done < q.rows;) {
    const std::int64_t left = q.rows - done;
    const bool closing = l.k.closed.closes_next();
    const std::int64_t begin_open = l.k.closed.rows();
    const std::int64_t piece = closing ? std::min(left, begin_open + rules_.chunk - l.rows) : left;
    for (std::int64_t i = 0; i < piece; ++i) {
      std::copy_n(k.row(done + i), width_, keys + (l.rows + i) * width_);
      std::copy_n(v.row(done + i), width_, values + (l.rows + i) * width_);
    }
    l.rows += piece;
    causal_attention({q.row(done), piece, q.cols, q.stride}, {keys, l.rows, width_, width_},
                     {values, l.rows, width_, width_}, shape, {out.row(done), piece, out.cols, out.stride});
    if (closing && l.rows == begin_open + rules_.chunk) {
      l.k.closed.close({keys + begin_open * width_, rules_.chunk, width_, width_});
      l.v.closed.close({values + begin_open * width_, rules_.chunk, width_, width_});
    }
    done += piece;
  }
  end(l.k, k_shared_, l.rows);
  end(l.v, v_shared_, l.rows);
}

std::uint64_t SequenceCache::stored_bytes() const {
  std::uint64_t bytes = 0;
  for (const Layer& l : layers_)
    for (const Half* half : {&l.k, &l.v})
      bytes +=
          half->closed.bytes() + static_cast<std::uint64_t>((l.rows - half->closed.rows()) * width_) * sizeof(float);
  return bytes;
}

std::uint64_t SequenceCache::working_bytes() const {
  std::uint64_t bytes = (k_shared_.capacity() + v_shared_.capacity()) * sizeof(float);
  for (const Layer& l : layers_)
    for (const Half* half : {&l.k, &l.v}) {
      const auto open = static_cast<std::uint64_t>((l.rows - half->closed.rows()) * width_);
      bytes += (half->open.capacity() - open) * sizeof(float);
    }
  return bytes;
}

}  // namespace stamp
