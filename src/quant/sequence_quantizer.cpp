#include "quant/sequence_quantizer.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <new>
#include <span>
#include <stdexcept>

#include "base/parallel.h"
#include "base/text.h"
#include "quant/grid.h"
#include "quant/kernels.h"
#include "quant/row_sums.h"
#include "transforms/vector.h"

namespace stamp {
namespace {

// Grows, never shrinks, 64-byte aligned, contents not kept.
class Floats64 {
 public:
  ~Floats64() { std::free(data_); }
  Floats64() = default;
  Floats64(const Floats64&) = delete;
  Floats64& operator=(const Floats64&) = delete;
  float* get(std::size_t count) {
    if (count > size_) {
      std::free(data_);
      size_ = 0;
      data_ = static_cast<float*>(std::aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64));
      if (!data_) throw std::bad_alloc();
      size_ = count;
    }
    return data_;
  }

 private:
  float* data_ = nullptr;
  std::size_t size_ = 0;
};

constexpr std::int64_t tile_columns = 64;          // 512 KiB for 2048 tokens
constexpr std::int64_t parallel_floats = 16384;    // less work than this is not worth waking threads
constexpr std::int64_t block_limit = 256;          // larger blocks leave the cache: column tiles then
constexpr std::int64_t block_tile_floats = 65536;  // 256 KiB, half of a small second-level cache
constexpr std::int64_t stream_bytes = 16 << 20;    // outputs beyond this do not survive in the cache anyway

}  // namespace

struct QuantizerWorkspace::Buffers {
  Floats64 tiles, scratch, copy;
  std::vector<RowSums> rows;           // s, or tiles x s
  std::vector<kernels::Range> ranges;  // tiles x s
  std::vector<kernels::Scale> scales;  // groups x s
  std::vector<double> errors;          // tiles x s
  std::vector<float> largest;          // s
};

QuantizerWorkspace::QuantizerWorkspace() : buffers_(std::make_unique<Buffers>()) {}
QuantizerWorkspace::~QuantizerWorkspace() = default;

namespace {

using Buffers = QuantizerWorkspace::Buffers;

// What all groups of a row have in common.
struct RowGrid {
  std::int64_t steps;
  bool symmetric;
  double clip_low, clip_high;
  kernels::Scale scale(const kernels::Range& range) const {
    return kernels::make_scale(range, steps, symmetric, clip_low, clip_high);
  }
};

// One call: where the values are and what is to be done with the rows of L X.
struct Job {
  ConstMatrixView x;
  const SequenceTransform& l;
  MatrixView out;  // data null: measure only
  ActivationGrid grid;
  std::int64_t group;  // width in use
  std::span<const float> bits;
  Buffers& buffers;
  bool collect;  // row sums wanted
  bool writes() const { return out.data != nullptr; }
  std::int64_t steps(std::int64_t row) const { return writes() ? row_steps(bits[static_cast<std::size_t>(row)]) : -1; }
  RowGrid row_grid(std::int64_t row) const {
    const auto b = static_cast<double>(writes() ? bits[static_cast<std::size_t>(row)] : 16.0f);
    return {steps(row), grid.symmetric, grid.clip_low(b), grid.clip_high(b)};
  }
};

// A finished transformed row: every group measured and written back (to may be from).
void finish_row(const Job& job, std::int64_t row, const float* from, std::int64_t cols, float* to, RowSums* sums) {
  const RowGrid grid = job.row_grid(row);
  const std::int64_t steps = grid.steps;
  for (std::int64_t c = 0; c < cols; c += job.group) {
    const std::int64_t n = std::min(job.group, cols - c);
    kernels::Range range;
    if (steps >= 0 || sums) range = kernels::measure(from + c, n);
    double error = 0;
    if (job.writes()) error = kernels::apply(from + c, n, grid.scale(range), to + c);
    if (sums) sums->add_group(range, n, steps, error);
  }
}

float largest_of(const kernels::Range& r) {
  return r.finite ? std::max(-r.low, r.high) : std::numeric_limits<float>::infinity();
}

RowSums* row_sums(const Job& job) {
  if (!job.collect) return nullptr;
  job.buffers.rows.assign(static_cast<std::size_t>(job.x.rows), RowSums{});
  return job.buffers.rows.data();
}

bool can_stream(const Job& job) {
  return job.writes() && job.out.data != job.x.data && job.x.rows * job.x.cols * 4 >= stream_bytes &&
         reinterpret_cast<std::uintptr_t>(job.out.data) % 64 == 0 && job.out.stride % 16 == 0 && job.out.cols % 16 == 0;
}

// L = I: rows are independent, nothing is copied.
void run_identity(const Job& job) {
  RowSums* sums = row_sums(job);
#pragma omp parallel for schedule(static) if (job.x.rows * job.x.cols > parallel_floats)
  for (std::int64_t i = 0; i < job.x.rows; ++i)
    finish_row(job, i, job.x.row(i), job.x.cols, job.writes() ? job.out.row(i) : nullptr, sums ? sums + i : nullptr);
}

std::int64_t largest_block(const BlockwiseTransform& l) {
  std::int64_t most = 0;
  for (std::int64_t b = 0; b < l.blocks(); ++b) most = std::max(most, l.block_begin(b + 1) - l.block_begin(b));
  return most;
}

// Calls visit(block, first token, tile holding the transformed rows) with the tile in this thread's cache.
template <typename Visit>
void over_blocks(const Job& job, Visit visit) {
  const BlockwiseTransform& l = *job.l.blockwise();
  const std::int64_t most = largest_block(l);
  // 16 floats of padding keep rows of a power-of-two width out of one cache set.
  const std::int64_t stride = simd::padded(job.x.cols) + 16;
  const auto tile_floats = static_cast<std::size_t>(most * stride);
  float* tiles = job.buffers.tiles.get(tile_floats * static_cast<std::size_t>(threads()));
#pragma omp parallel if (job.x.rows * job.x.cols > parallel_floats)
  {
    float* tile = tiles + tile_floats * static_cast<std::size_t>(omp_get_thread_num());
#pragma omp for schedule(dynamic, 1)
    for (std::int64_t b = 0; b < l.blocks(); ++b) {
      const std::int64_t begin = l.block_begin(b), count = l.block_begin(b + 1) - begin;
      const MatrixView t{tile, count, job.x.cols, stride};
      l.forward_block(b, {job.x.row(begin), count, job.x.cols, job.x.stride}, t);
      visit(b, begin, t);
    }
    simd::stream_fence();
  }
}

void run_blocks(const Job& job) {
  const BlockwiseTransform& l = *job.l.blockwise();
  RowSums* sums = row_sums(job);
  const bool stream = can_stream(job);
  over_blocks(job, [&](std::int64_t b, std::int64_t begin, MatrixView t) {
    for (std::int64_t p = 0; p < t.rows; ++p) {
      const std::int64_t row = l.output_row(begin + p);
      finish_row(job, row, t.row(p), t.cols, t.row(p), sums ? sums + row : nullptr);
    }
    if (job.writes()) l.inverse_block(b, t, {job.out.row(begin), t.rows, t.cols, job.out.stride}, stream);
  });
}

// Dense transforms thread themselves and want all columns.
void run_whole(const Job& job) {
  const std::int64_t s = job.x.rows, d = job.x.cols;
  MatrixView t = job.out;
  if (!job.writes()) t = {job.buffers.copy.get(static_cast<std::size_t>(s * d)), s, d, d};
  if (t.data != job.x.data)
    for (std::int64_t i = 0; i < s; ++i) std::copy_n(job.x.row(i), d, t.row(i));
  float* scratch = job.buffers.scratch.get(job.l.scratch_floats(d));
  job.l.forward(t, scratch);
  RowSums* sums = row_sums(job);
#pragma omp parallel for schedule(static) if (s * d > parallel_floats)
  for (std::int64_t i = 0; i < s; ++i) finish_row(job, i, t.row(i), d, t.row(i), sums ? sums + i : nullptr);
  if (job.writes()) job.l.inverse(t, scratch);
}

struct Tile {
  std::int64_t begin, cols, group;  // `group`: index of the group the tile lies in, or of its first one
};

// Whole groups in a tile of about `wanted` columns, one at least.
std::vector<Tile> cut_columns(std::int64_t cols, std::int64_t group, std::int64_t wanted) {
  std::vector<Tile> tiles;
  const std::int64_t width = std::max(group, wanted / group * group);
  for (std::int64_t c = 0; c < cols; c += width) tiles.push_back({c, std::min(width, cols - c), c / group});
  return tiles;
}

// Every group cut into tiles.
std::vector<Tile> cut_groups(std::int64_t cols, std::int64_t group) {
  std::vector<Tile> tiles;
  for (std::int64_t g = 0; g < cols; g += group)
    for (std::int64_t c = g; c < std::min(g + group, cols); c += tile_columns)
      tiles.push_back({c, std::min(tile_columns, std::min(g + group, cols) - c), g / group});
  return tiles;
}

void copy_tile(ConstMatrixView from, std::int64_t begin, MatrixView tile) {
  for (std::int64_t i = 0; i < tile.rows; ++i) std::copy_n(from.row(i) + begin, tile.cols, tile.row(i));
}
void write_tile(MatrixView tile, std::int64_t begin, MatrixView to) {
  for (std::int64_t i = 0; i < tile.rows; ++i) std::copy_n(tile.row(i), tile.cols, to.row(i) + begin);
}

// Calls visit(index, tile, its contiguous copy of `from`, scratch) on the threads.
template <typename Visit>
void over_tiles(const Job& job, ConstMatrixView from, const std::vector<Tile>& tiles, Visit visit) {
  std::int64_t most = 0;
  for (const Tile& t : tiles) most = std::max(most, t.cols);
  const std::int64_t stride = simd::padded(most);
  const auto tile_floats = static_cast<std::size_t>(job.x.rows * stride);
  const std::size_t scratch_floats = (job.l.scratch_floats(most) + 15) / 16 * 16;
  const auto parts = static_cast<std::size_t>(threads());
  float* all = job.buffers.tiles.get(tile_floats * parts);
  float* scratches = job.buffers.scratch.get(scratch_floats * parts);
#pragma omp parallel if (job.x.rows * job.x.cols > parallel_floats)
  {
    const auto me = static_cast<std::size_t>(omp_get_thread_num());
#pragma omp for schedule(dynamic, 1)
    for (std::size_t k = 0; k < tiles.size(); ++k) {
      const MatrixView copy{all + me * tile_floats, job.x.rows, tiles[k].cols, stride};
      copy_tile(from, tiles[k].begin, copy);
      visit(k, tiles[k], copy, scratches + me * scratch_floats);
    }
  }
}

// The sums of column tiles, in their order, so that threads do not change them.
void add_tiles(std::vector<RowSums>& rows, std::size_t tiles, std::size_t s) {
  for (std::size_t k = 1; k < tiles; ++k)
    for (std::size_t i = 0; i < s; ++i) rows[i] += rows[k * s + i];
  rows.resize(s);
}

// Groups that fit a tile: one pass.
void run_whole_groups(const Job& job) {
  const auto s = static_cast<std::size_t>(job.x.rows);
  const std::vector<Tile> tiles = cut_columns(job.x.cols, job.group, tile_columns);
  auto& rows = job.buffers.rows;
  rows.assign(job.collect ? tiles.size() * s : 0, RowSums{});
  over_tiles(job, job.x, tiles, [&](std::size_t k, const Tile& tile, MatrixView t, float* scratch) {
    job.l.forward(t, scratch);
    for (std::size_t i = 0; i < s; ++i) {
      const auto row = static_cast<std::int64_t>(i);
      finish_row(job, row, t.row(row), t.cols, t.row(row), job.collect ? &rows[k * s + i] : nullptr);
    }
    if (!job.writes()) return;
    job.l.inverse(t, scratch);
    write_tile(t, tile.begin, job.out);
  });
  if (job.collect) add_tiles(rows, tiles.size(), s);
}

// Blocks too large for the cache in all their columns, groups that fit a tile: one block of some columns at a time,
// read from where it lies and written to where it goes (lines of a token grid: 512 tokens of PixArt's 4096 with three
// levels).
void run_block_tiles(const Job& job) {
  const BlockwiseTransform& l = *job.l.blockwise();
  const auto s = static_cast<std::size_t>(job.x.rows);
  const std::int64_t most = largest_block(l);
  const std::vector<Tile> tiles = cut_columns(job.x.cols, job.group, std::max(tile_columns, block_tile_floats / most));
  const std::int64_t stride = simd::padded(std::min(tiles.front().cols, job.x.cols));
  const auto tile_floats = static_cast<std::size_t>(most * stride);
  float* all = job.buffers.tiles.get(tile_floats * static_cast<std::size_t>(threads()));
  auto& rows = job.buffers.rows;
  rows.assign(job.collect ? tiles.size() * s : 0, RowSums{});
  const bool stream = can_stream(job);
#pragma omp parallel for schedule(dynamic, 1) collapse(2) if (job.x.rows * job.x.cols > parallel_floats)
  for (std::int64_t b = 0; b < l.blocks(); ++b)
    for (std::size_t k = 0; k < tiles.size(); ++k) {
      const std::int64_t begin = l.block_begin(b), count = l.block_begin(b + 1) - begin, c = tiles[k].begin;
      const MatrixView t{all + tile_floats * static_cast<std::size_t>(omp_get_thread_num()), count, tiles[k].cols,
                         stride};
      l.forward_block(b, {job.x.row(begin) + c, count, t.cols, job.x.stride}, t);
      for (std::int64_t p = 0; p < count; ++p) {
        const std::int64_t row = l.output_row(begin + p);
        finish_row(job, row, t.row(p), t.cols, t.row(p),
                   job.collect ? &rows[k * s + static_cast<std::size_t>(row)] : nullptr);
      }
      if (!job.writes()) continue;
      l.inverse_block(b, t, {job.out.row(begin) + c, count, t.cols, job.out.stride}, stream && t.cols % 16 == 0);
      simd::stream_fence();
    }
  if (job.collect) add_tiles(rows, tiles.size(), s);
}

// Ranges of `tiles`, which cut groups; keeps T in job.out when it writes.
void measure_tiles(const Job& job, const std::vector<Tile>& tiles) {
  const auto s = static_cast<std::size_t>(job.x.rows);
  job.buffers.ranges.resize(tiles.size() * s);
  over_tiles(job, job.x, tiles, [&](std::size_t k, const Tile& tile, MatrixView t, float* scratch) {
    job.l.forward(t, scratch);
    for (std::size_t i = 0; i < s; ++i)
      job.buffers.ranges[k * s + i] = kernels::measure(t.row(static_cast<std::int64_t>(i)), t.cols);
    if (job.writes()) write_tile(t, tile.begin, job.out);
  });
}

// Range of row i over the tiles of a group, [first, last).
kernels::Range joined(const Buffers& buffers, std::size_t first, std::size_t last, std::size_t s, std::size_t i) {
  kernels::Range all;
  for (std::size_t k = first; k < last; ++k) {
    const kernels::Range& r = buffers.ranges[k * s + i];
    all.low = std::min(all.low, r.low);
    all.high = std::max(all.high, r.high);
    all.energy += r.energy;
    all.finite = all.finite && r.finite;
  }
  return all;
}

// Groups wider than a tile: the transform is kept in `out` between finding the ranges and using them.
void run_cut_groups(const Job& job, const RowBits* dynamic, std::vector<float>& chosen) {
  const auto s = static_cast<std::size_t>(job.x.rows);
  const std::vector<Tile> tiles = cut_groups(job.x.cols, job.group);
  measure_tiles(job, tiles);
  std::vector<std::size_t> first{0};  // first tile of every group
  for (std::size_t k = 1; k < tiles.size(); ++k)
    if (tiles[k].group != tiles[k - 1].group) first.push_back(k);
  const std::size_t groups = first.size();
  first.push_back(tiles.size());

  Job with_bits = job;
  if (dynamic) {
    std::vector<float>& largest = job.buffers.largest;
    largest.assign(s, 0.0f);
    for (std::size_t i = 0; i < s; ++i) largest[i] = largest_of(joined(job.buffers, 0, tiles.size(), s, i));
    chosen = dynamic_bits(*dynamic, largest);
    with_bits.bits = chosen;
  }
  auto& scales = job.buffers.scales;
  scales.resize(groups * s);
  std::vector<kernels::Range> group_ranges(job.collect ? groups * s : 0);
  for (std::size_t g = 0; g < groups; ++g)
    for (std::size_t i = 0; i < s; ++i) {
      const kernels::Range range = joined(job.buffers, first[g], first[g + 1], s, i);
      scales[g * s + i] = with_bits.row_grid(static_cast<std::int64_t>(i)).scale(range);
      if (job.collect) group_ranges[g * s + i] = range;
    }
  auto& errors = job.buffers.errors;
  errors.assign(tiles.size() * s, 0.0);
  if (job.writes())
    over_tiles(job, job.out, tiles, [&](std::size_t k, const Tile& tile, MatrixView t, float* scratch) {
      for (std::size_t i = 0; i < s; ++i) {
        float* row = t.row(static_cast<std::int64_t>(i));
        errors[k * s + i] = kernels::apply(row, t.cols, scales[static_cast<std::size_t>(tile.group) * s + i], row);
      }
      job.l.inverse(t, scratch);
      write_tile(t, tile.begin, job.out);
    });
  if (!job.collect) return;
  RowSums* sums = row_sums(job);
  for (std::size_t g = 0; g < groups; ++g)
    for (std::size_t i = 0; i < s; ++i) {
      double error = 0;
      std::int64_t values = 0;
      for (std::size_t k = first[g]; k < first[g + 1]; ++k) {
        error += errors[k * s + i];
        values += tiles[k].cols;
      }
      sums[i].add_group(group_ranges[g * s + i], values, with_bits.steps(static_cast<std::int64_t>(i)), error);
    }
}

bool small_blocks(const SequenceTransform& l) {
  return l.blockwise() && largest_block(*l.blockwise()) <= block_limit;
}
// Blocks that leave the cache in all columns, but not in those of one group.
bool medium_blocks(const SequenceTransform& l, std::int64_t group) {
  return l.blockwise() && largest_block(*l.blockwise()) * group <= 2 * block_tile_floats;
}

void run(const Job& job) {
  if (job.l.is_identity()) return run_identity(job);
  if (small_blocks(job.l)) return run_blocks(job);
  if (job.l.whole()) return run_whole(job);
  if (job.group <= 2 * tile_columns)
    return medium_blocks(job.l, job.group) ? run_block_tiles(job) : run_whole_groups(job);
  std::vector<float> unused;
  run_cut_groups(job, nullptr, unused);
}

// Largest |value| of every transformed row, for `pick: magnitude`.
std::vector<float> largest_values(const Job& job) {
  std::vector<float> largest(static_cast<std::size_t>(job.x.rows), 0.0f);
  const auto note = [&](std::int64_t row, const float* t) {
    largest[static_cast<std::size_t>(row)] = largest_of(kernels::measure(t, job.x.cols));
  };
  if (job.l.is_identity()) {
    for (std::int64_t i = 0; i < job.x.rows; ++i) note(i, job.x.row(i));
    return largest;
  }
  if (small_blocks(job.l)) {
    const BlockwiseTransform& l = *job.l.blockwise();
    over_blocks(job, [&](std::int64_t, std::int64_t begin, MatrixView t) {
      for (std::int64_t p = 0; p < t.rows; ++p) note(l.output_row(begin + p), t.row(p));
    });
    return largest;
  }
  const std::int64_t s = job.x.rows, d = job.x.cols;
  const MatrixView t{job.buffers.copy.get(static_cast<std::size_t>(s * d)), s, d, d};
  for (std::int64_t i = 0; i < s; ++i) std::copy_n(job.x.row(i), d, t.row(i));
  job.l.forward(t, job.buffers.scratch.get(job.l.scratch_floats(d)));
  for (std::int64_t i = 0; i < s; ++i) note(i, t.row(i));
  return largest;
}

void check(ConstMatrixView x, const SequenceTransform& l, std::int64_t rows_out, std::int64_t cols_out) {
  if (x.rows != l.tokens() || rows_out != x.rows || cols_out != x.cols)
    throw std::logic_error("quantize_sequence: a transform of " + std::to_string(l.tokens()) + " tokens, input " +
                           std::to_string(x.rows) + " x " + std::to_string(x.cols) + ", output " +
                           std::to_string(rows_out) + " x " + std::to_string(cols_out));
}

}  // namespace

void quantize_sequence(ConstMatrixView x, const SequenceTransform& l, const RowBits& bits, const ActivationGrid& grid,
                       MatrixView out, SlotStatistics* statistics, QuantizerWorkspace& workspace) {
  check(x, l, out.rows, out.cols);
  if (static_cast<std::int64_t>(bits.bits.size()) != x.rows)
    throw std::logic_error("quantize_sequence: bits for " + std::to_string(bits.bits.size()) + " rows, input has " +
                           std::to_string(x.rows));
  if (x.rows == 0 || x.cols == 0) return;
  const std::int64_t group = group_width(grid.group, x.cols);
  Job job{x, l, out, grid, group, bits.bits, workspace.buffers(), statistics != nullptr};
  std::vector<float> chosen;
  const bool cut = !l.is_identity() && !small_blocks(l) && !l.whole();
  if (bits.dynamic && cut) {
    run_cut_groups(job, &bits, chosen);
    job.bits = chosen;
  } else {
    if (bits.dynamic) {
      chosen = dynamic_bits(bits, largest_values(job));
      job.bits = chosen;
    }
    run(job);
  }
  if (statistics) add_sample(*statistics, job.buffers.rows, job.bits, x.cols, group);
}

void measure_energies(ConstMatrixView x, const SequenceTransform& l, std::int64_t group, SlotStatistics& statistics,
                      QuantizerWorkspace& workspace) {
  check(x, l, x.rows, x.cols);
  if (x.rows == 0 || x.cols == 0) return;
  const std::int64_t width = group_width(group, x.cols);
  ActivationGrid grid;
  grid.group = group;
  const Job job{x, l, MatrixView{}, grid, width, {}, workspace.buffers(), true};
  run(job);
  add_sample(statistics, job.buffers.rows, {}, x.cols, width);
}

std::string theorem_conditions(const ActivationGrid& grid) {
  std::string why;
  if (grid.symmetric) why = "symmetric grid";
  if (grid.clip < 1) {
    if (!why.empty()) why += ", ";
    why += "clip " + number_text(grid.clip) + " < 1";
  }
  if (grid.learned_bits > 0 && (grid.learned_low < 1 || grid.learned_high < 1)) {
    if (!why.empty()) why += ", ";
    why += "learned clip " + number_text(grid.learned_low) + ", " + number_text(grid.learned_high) + " < 1";
  }
  return why;
}

}  // namespace stamp
