#include "models/kernels/attention.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <vector>

#include "models/kernels/full_attention.h"
#include "models/kernels/simd.h"

namespace stamp {
namespace {

using simd::V;

// Register tile: 6 x 4 accumulators are 24 of the 32 registers of AVX-512, 6 x 2 are 12 of the 16 of AVX2; either hides
// the latency of the multiply-adds.
constexpr std::int64_t tile_rows = 6;
constexpr int tile_vectors = simd::width == 16 ? 4 : 2;
constexpr std::int64_t key_block = 64;
// Query rows (positions x query heads of a group) that meet a block of keys while it lies in the first-level cache.
constexpr std::int64_t query_rows = 96;
constexpr float minus_infinity = -1e30f;  // finite: differences of masked scores stay numbers

struct Free {
  void operator()(float* p) const { std::free(p); }
};
using Buffer = std::unique_ptr<float[], Free>;

Buffer aligned_floats(std::int64_t count) {
  const std::size_t bytes = (static_cast<std::size_t>(count) * sizeof(float) + 63) / 64 * 64;
  return Buffer(static_cast<float*>(std::aligned_alloc(64, bytes)));
}

std::int64_t round_up(std::int64_t n, std::int64_t to) {
  return (n + to - 1) / to * to;
}

// c (6 x NV vectors, row stride ldc) = start + a (6 x depth, lda) * b (depth x NV vectors, ldb); `start` is
// c * factor[row] when factors are given, else zero.
template <int NV>
inline void multiply_tile(const float* a, std::int64_t lda, const float* b, std::int64_t ldb, std::int64_t depth,
                          float* c, std::int64_t ldc, const float* factors) {
  V acc[tile_rows][NV];
  for (int r = 0; r < tile_rows; ++r)
    for (int j = 0; j < NV; ++j)
      acc[r][j] = factors ? simd::load(c + r * ldc + j * simd::width) * simd::splat(factors[r]) : V{};
  for (std::int64_t k = 0; k < depth; ++k) {
    V row[NV];
    for (int j = 0; j < NV; ++j) row[j] = simd::load(b + k * ldb + j * simd::width);
    for (int r = 0; r < tile_rows; ++r) {
      const V x = simd::splat(a[r * lda + k]);
      for (int j = 0; j < NV; ++j) acc[r][j] += x * row[j];
    }
  }
  for (int r = 0; r < tile_rows; ++r)
    for (int j = 0; j < NV; ++j) simd::store(c + r * ldc + j * simd::width, acc[r][j]);
}

void multiply(std::int64_t vectors, const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
              std::int64_t depth, float* c, std::int64_t ldc, const float* factors) {
  constexpr int most = tile_vectors;
  for (; vectors >= most; vectors -= most, b += most * simd::width, c += most * simd::width)
    multiply_tile<most>(a, lda, b, ldb, depth, c, ldc, factors);
  if constexpr (most > 2) {
    if (vectors == 3) multiply_tile<3>(a, lda, b, ldb, depth, c, ldc, factors);
    if (vectors == 2) multiply_tile<2>(a, lda, b, ldb, depth, c, ldc, factors);
  }
  if (vectors == 1) multiply_tile<1>(a, lda, b, ldb, depth, c, ldc, factors);
}

// Keys transposed in blocks of 64 and values in rows, both padded to whole vectors: [kv head][block][hd][64] and
// [kv head][key][hd padded]. Rows beyond s are zero.
struct Packed {
  std::int64_t keys = 0, depth = 0, value_columns = 0;
  Buffer k, v;
  const float* key(std::int64_t head, std::int64_t block) const {
    return k.get() + (head * (keys / key_block) + block) * depth * key_block;
  }
  const float* value(std::int64_t head, std::int64_t row) const {
    return v.get() + (head * keys + row) * value_columns;
  }
};

Packed pack(ConstMatrixView k, ConstMatrixView v, const AttentionShape& shape) {
  Packed p;
  p.keys = round_up(k.rows, key_block);
  p.depth = shape.head_dim;
  p.value_columns = round_up(shape.head_dim, simd::width);
  p.k = aligned_floats(shape.kv_heads * p.keys * p.depth);
  p.v = aligned_floats(shape.kv_heads * p.keys * p.value_columns);
  const std::int64_t blocks = p.keys / key_block;
#pragma omp parallel for schedule(static)
  for (std::int64_t task = 0; task < shape.kv_heads * blocks; ++task) {
    const std::int64_t head = task / blocks, block = task % blocks, first = block * key_block;
    float* kt = p.k.get() + (head * blocks + block) * p.depth * key_block;
    float* vr = p.v.get() + (head * p.keys + first) * p.value_columns;
    for (std::int64_t i = 0; i < key_block; ++i) {
      const bool inside = first + i < k.rows;
      const float* from_k = inside ? k.row(first + i) + head * p.depth : nullptr;
      const float* from_v = inside ? v.row(first + i) + head * p.depth : nullptr;
      for (std::int64_t d = 0; d < p.depth; ++d) kt[d * key_block + i] = inside ? from_k[d] : 0.0f;
      for (std::int64_t d = 0; d < p.value_columns; ++d)
        vr[i * p.value_columns + d] = inside && d < p.depth ? from_v[d] : 0.0f;
    }
  }
  return p;
}

// Softmax state of six query rows.
struct TileState {
  float largest[tile_rows];  // in units of log2
  float total[tile_rows];
  std::int64_t position[tile_rows];
};

// Scores of one row against one block of keys become unnormalised probabilities in place. Returns the factor by which
// what was summed before has to shrink. `visible_from`, `visible_to`: keys of the block that the row sees, [from, to).
template <bool Masked>
inline float softmax_step(float* scores, std::int64_t vectors, std::int64_t visible_from, std::int64_t visible_to,
                          float& largest, float& total) {
  const auto masked = [&](std::int64_t j, V x, float fill) {
    if constexpr (!Masked) return x;
    const simd::VI index = simd::lane_index() + simd::splat_int(static_cast<std::int32_t>(j * simd::width));
    const simd::VI in = (index >= simd::splat_int(static_cast<std::int32_t>(visible_from))) &
                        (index < simd::splat_int(static_cast<std::int32_t>(visible_to)));
    return simd::select(in, x, simd::splat(fill));
  };
  V top = simd::splat(minus_infinity);
  for (std::int64_t j = 0; j < vectors; ++j)
    top = simd::maximum(masked(j, simd::load(scores + j * simd::width), minus_infinity), top);
  const float before = largest;
  largest = std::max(before, simd::largest(top));
  const V shift = simd::splat(largest);
  V sum{};
  for (std::int64_t j = 0; j < vectors; ++j) {
    float* at = scores + j * simd::width;
    const V p = masked(j, simd::exp2(simd::load(at) - shift), 0.0f);
    simd::store(at, p);
    sum += p;
  }
  const float factor = before == largest ? 1.0f : std::exp2(before - largest);
  total = total * factor + simd::sum(sum);
  return factor;
}

// `scores` are in log2 units, `cap` is not.
inline void cap_scores(float* scores, std::int64_t vectors, float cap) {
  const V limit = simd::splat(cap * simd::log2_e), inverse = simd::splat(1.0f / (cap * simd::log2_e));
  for (std::int64_t j = 0; j < vectors; ++j) {
    float* at = scores + j * simd::width;
    simd::store(at, simd::tanh(simd::load(at) * inverse) * limit);
  }
}

class QueryBlock {
 public:
  // `past`: the position of query row 0. `last`: of the newest key a query sees, where that is the same for all of
  // them; -1 = each sees itself and what is before it.
  QueryBlock(const Packed& packed, const AttentionShape& shape, std::int64_t past, std::int64_t last = -1)
      : packed_(packed),
        shape_(shape),
        past_(past),
        last_(last),
        q_(aligned_floats(query_capacity(shape) * shape.head_dim)),
        out_(aligned_floats(query_capacity(shape) * packed.value_columns)),
        states_(static_cast<std::size_t>(query_capacity(shape) / tile_rows)) {}

  static std::int64_t positions(const AttentionShape& shape) {
    return std::max<std::int64_t>(1, query_rows / (shape.heads / shape.kv_heads));
  }

  // Queries [first, last) of all heads that read KV head `head`.
  void run(ConstMatrixView q, std::int64_t head, std::int64_t first, std::int64_t last, MatrixView out) {
    const std::int64_t rows = load(q, head, first, last);
    const std::int64_t lowest = shape_.window > 0 ? std::max<std::int64_t>(0, past_ + first - shape_.window + 1) : 0;
    const std::int64_t end = position_of(last - 1) + 1;
    for (std::int64_t block = lowest / key_block; block * key_block < end; ++block)
      for (std::int64_t tile = 0; tile < rows / tile_rows; ++tile) meet(head, block, tile);
    save(head, first, last, out);
  }

 private:
  static std::int64_t query_capacity(const AttentionShape& shape) {
    return round_up(positions(shape) * (shape.heads / shape.kv_heads), tile_rows);
  }

  std::int64_t position_of(std::int64_t query) const { return last_ < 0 ? past_ + query : last_; }

  // Row i of the block is query row first + i / group, query head i % group of the KV head. Scores come out in log2
  // units.
  std::int64_t load(ConstMatrixView q, std::int64_t head, std::int64_t first, std::int64_t last) {
    const std::int64_t group = shape_.heads / shape_.kv_heads, depth = shape_.head_dim;
    const std::int64_t used = (last - first) * group, rows = round_up(used, tile_rows);
    const float scale = shape_.scale * simd::log2_e;
    std::fill_n(out_.get(), rows * packed_.value_columns, 0.0f);
    for (std::int64_t i = 0; i < rows; ++i) {
      // Rows that fill up the last tile repeat the last position; their result is not read.
      const std::int64_t j = std::min(i, used - 1);
      const float* from = q.row(first + j / group) + (head * group + j % group) * depth;
      for (std::int64_t d = 0; d < depth; ++d) q_[i * depth + d] = from[d] * scale;
      TileState& state = states_[static_cast<std::size_t>(i / tile_rows)];
      state.largest[i % tile_rows] = minus_infinity;
      state.total[i % tile_rows] = 0;
      state.position[i % tile_rows] = position_of(first + j / group);
    }
    return rows;
  }

  void meet(std::int64_t head, std::int64_t block, std::int64_t tile) {
    alignas(64) float scores[tile_rows * key_block];
    TileState& state = states_[static_cast<std::size_t>(tile)];
    const std::int64_t start = block * key_block;
    const std::int64_t oldest = state.position[0], newest = state.position[tile_rows - 1];
    const std::int64_t window = shape_.window;
    if (start > newest || (window > 0 && start + key_block <= oldest - window + 1)) return;
    const std::int64_t keys = std::min(key_block, newest + 1 - start);
    const std::int64_t vectors = round_up(keys, simd::width) / simd::width;
    multiply(vectors, q_.get() + tile * tile_rows * shape_.head_dim, shape_.head_dim, packed_.key(head, block),
             key_block, shape_.head_dim, scores, key_block, nullptr);
    if (shape_.softcap > 0)
      for (std::int64_t r = 0; r < tile_rows; ++r) cap_scores(scores + r * key_block, vectors, shape_.softcap);
    const bool whole = start + key_block - 1 <= oldest && (window == 0 || start > newest - window);
    float factors[tile_rows];
    for (std::int64_t r = 0; r < tile_rows; ++r) {
      const std::int64_t position = state.position[r];
      const std::int64_t from = window > 0 ? position - window + 1 - start : 0;
      float* row = scores + r * key_block;
      factors[r] = whole
                       ? softmax_step<false>(row, vectors, 0, key_block, state.largest[r], state.total[r])
                       : softmax_step<true>(row, vectors, from, position + 1 - start, state.largest[r], state.total[r]);
    }
    multiply(packed_.value_columns / simd::width, scores, key_block, packed_.value(head, start), packed_.value_columns,
             keys, out_.get() + tile * tile_rows * packed_.value_columns, packed_.value_columns, factors);
  }

  void save(std::int64_t head, std::int64_t first, std::int64_t last, MatrixView out) const {
    const std::int64_t group = shape_.heads / shape_.kv_heads, depth = shape_.head_dim;
    for (std::int64_t i = 0; i < (last - first) * group; ++i) {
      const float inverse = 1.0f / states_[static_cast<std::size_t>(i / tile_rows)].total[i % tile_rows];
      float* to = out.row(first + i / group) + (head * group + i % group) * depth;
      for (std::int64_t d = 0; d < depth; ++d) to[d] = out_[i * packed_.value_columns + d] * inverse;
    }
  }

  const Packed& packed_;
  const AttentionShape& shape_;
  std::int64_t past_, last_;
  Buffer q_, out_;
  std::vector<TileState> states_;
};

// One query row of one head, straight from the rows of k and v: for a row or two, copying the keys into blocks would
// cost more than meeting them.
class SingleQuery {
 public:
  SingleQuery(ConstMatrixView k, ConstMatrixView v, const AttentionShape& shape)
      : k_(k),
        v_(v),
        shape_(shape),
        padded_(round_up(shape.head_dim, simd::width)),
        q_(aligned_floats(padded_)),
        sum_(aligned_floats(padded_)),
        scores_(aligned_floats(round_up(k.rows, simd::width))) {}

  void run(const float* q, std::int64_t head, std::int64_t position, float* out) {
    const std::int64_t column = head / (shape_.heads / shape_.kv_heads) * shape_.head_dim;
    const std::int64_t first = shape_.window > 0 ? std::max<std::int64_t>(0, position - shape_.window + 1) : 0;
    const std::int64_t keys = position + 1 - first, depth = shape_.head_dim;
    const float scale = shape_.scale * simd::log2_e;
    for (std::int64_t d = 0; d < padded_; ++d) q_[d] = d < depth ? q[d] * scale : 0.0f;
    for (std::int64_t i = 0; i < keys; ++i) scores_[i] = dot(k_.row(first + i) + column);
    const std::int64_t vectors = round_up(keys, simd::width) / simd::width;
    std::fill(scores_.get() + keys, scores_.get() + vectors * simd::width, 0.0f);
    if (shape_.softcap > 0) cap_scores(scores_.get(), vectors, shape_.softcap);
    float largest = minus_infinity, total = 0;
    softmax_step<true>(scores_.get(), vectors, 0, keys, largest, total);
    std::fill_n(sum_.get(), padded_, 0.0f);
    for (std::int64_t i = 0; i < keys; ++i) add(v_.row(first + i) + column, scores_[i]);
    const float inverse = 1.0f / total;
    for (std::int64_t d = 0; d < depth; ++d) out[d] = sum_[d] * inverse;
  }

 private:
  float dot(const float* key) const {
    V sum{};
    std::int64_t d = 0;
    for (; d + simd::width <= shape_.head_dim; d += simd::width) sum += simd::load(q_.get() + d) * simd::load(key + d);
    if (d < shape_.head_dim) sum += simd::load(q_.get() + d) * simd::load_part(key + d, shape_.head_dim - d, 0);
    return simd::sum(sum);
  }
  void add(const float* value, float weight) {
    const V w = simd::splat(weight);
    std::int64_t d = 0;
    for (; d + simd::width <= shape_.head_dim; d += simd::width)
      simd::store(sum_.get() + d, simd::load(sum_.get() + d) + w * simd::load(value + d));
    if (d < shape_.head_dim)
      simd::store(sum_.get() + d, simd::load(sum_.get() + d) + w * simd::load_part(value + d, shape_.head_dim - d, 0));
  }

  ConstMatrixView k_, v_;
  const AttentionShape& shape_;
  std::int64_t padded_;
  Buffer q_, sum_, scores_;
};

constexpr std::int64_t few_rows = 2;

// `last` as in QueryBlock.
void attend_few(ConstMatrixView q, ConstMatrixView k, ConstMatrixView v, const AttentionShape& shape, MatrixView out,
                std::int64_t last = -1) {
  const std::int64_t past = k.rows - q.rows;
#pragma omp parallel
  {
    SingleQuery query(k, v, shape);
#pragma omp for schedule(static)
    for (std::int64_t task = 0; task < q.rows * shape.heads; ++task) {
      const std::int64_t row = task / shape.heads, head = task % shape.heads, column = head * shape.head_dim;
      query.run(q.row(row) + column, head, last < 0 ? past + row : last, out.row(row) + column);
    }
  }
}

}  // namespace

void causal_attention(ConstMatrixView q, ConstMatrixView k, ConstMatrixView v, const AttentionShape& shape,
                      MatrixView out) {
  assert(shape.heads % shape.kv_heads == 0 && q.rows <= k.rows && k.rows == v.rows);
  if (q.rows == 0) return;
  if (q.rows <= few_rows) return attend_few(q, k, v, shape, out);
  const Packed packed = pack(k, v, shape);
  const std::int64_t past = k.rows - q.rows;
  const std::int64_t step = QueryBlock::positions(shape);
  const std::int64_t blocks = (q.rows + step - 1) / step;
#pragma omp parallel
  {
    QueryBlock block(packed, shape, past);
    // Late queries see more keys: the long tasks go first.
#pragma omp for schedule(dynamic, 1)
    for (std::int64_t task = 0; task < blocks * shape.kv_heads; ++task) {
      const std::int64_t index = blocks - 1 - task / shape.kv_heads;
      block.run(q, task % shape.kv_heads, index * step, std::min(q.rows, (index + 1) * step), out);
    }
  }
}

void full_attention(ConstMatrixView q, ConstMatrixView k, ConstMatrixView v, const AttentionShape& shape,
                    MatrixView out) {
  assert(shape.heads % shape.kv_heads == 0 && shape.window == 0 && k.rows == v.rows && k.rows > 0);
  if (q.rows == 0) return;
  const std::int64_t last = k.rows - 1;
  if (q.rows <= few_rows) return attend_few(q, k, v, shape, out, last);
  const Packed packed = pack(k, v, shape);
  const std::int64_t step = QueryBlock::positions(shape);
  const std::int64_t blocks = (q.rows + step - 1) / step;
#pragma omp parallel
  {
    QueryBlock block(packed, shape, 0, last);
#pragma omp for schedule(dynamic, 1)
    for (std::int64_t task = 0; task < blocks * shape.kv_heads; ++task) {
      const std::int64_t first = task / shape.kv_heads * step;
      block.run(q, task % shape.kv_heads, first, std::min(q.rows, first + step), out);
    }
  }
}

}  // namespace stamp
