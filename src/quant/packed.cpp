#include "quant/packed.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

#include "quant/grid.h"
#include "quant/kernels.h"

namespace stamp {
namespace {

constexpr std::int32_t float_width = 32;
constexpr std::int64_t block = 8;   // levels that together fill a whole number of bytes at every width
constexpr std::size_t padding = 8;  // the last block is read as one 64-bit word

std::int64_t group_bytes(std::int64_t values, std::int32_t width) {
  return (values * width + 7) / 8;
}

using Words = std::uint64_t __attribute__((vector_size(64)));
using Eight = float __attribute__((vector_size(32)));

// q of n values of one group, n <= 8 of them in one word, the first in the lowest bits.
std::uint64_t pack_block(const float* x, std::int64_t n, const kernels::Scale& s, std::int32_t width) {
  std::uint64_t word = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    // The level as the grids compute it: a division, half to even, then the clamp; adding z cannot round.
    const float level = std::clamp(std::nearbyint(x[i] / s.delta), s.low, s.high) - s.low;
    word |= static_cast<std::uint64_t>(level) << (i * width);
  }
  return word;
}

void unpack_group(const std::uint8_t* from, std::int64_t n, std::int32_t width, float delta, float zero, float* out) {
  const auto w = static_cast<std::uint64_t>(width);
  const Words shifts = {0, w, 2 * w, 3 * w, 4 * w, 5 * w, 6 * w, 7 * w};
  const std::uint64_t mask = (std::uint64_t{1} << width) - 1;
  std::int64_t i = 0;
  for (; i < n; i += block, from += width) {
    std::uint64_t word;
    std::memcpy(&word, from, sizeof word);
    const Words q = ((Words{} + word) >> shifts) & mask;
    const Eight value = (__builtin_convertvector(q, Eight) - zero) * delta;
    std::memcpy(out + i, &value, static_cast<std::size_t>(std::min(block, n - i)) * sizeof(float));
  }
}

}  // namespace

std::int32_t stored_width(double bits) {
  if (bits >= 16) return float_width;
  const auto levels = static_cast<std::uint64_t>(std::max<std::int64_t>(steps_of(bits), 1));
  const int width = std::bit_width(levels);
  if (width > 8)
    throw std::logic_error("rows of " + std::to_string(bits) + " bits cannot be packed: 8, or 16 (floats)");
  return width;
}

std::uint64_t packed_row_bytes(std::int64_t count, std::int64_t cols, double bits, std::int64_t group) {
  const std::int32_t width = stored_width(bits);
  if (width == float_width) return static_cast<std::uint64_t>(count * cols) * sizeof(float);
  const std::int64_t g = group > 0 ? std::min(group, cols) : cols;
  const std::int64_t whole = g > 0 ? cols / g : 0, rest = cols - whole * g;
  const std::int64_t bytes = whole * (group_bytes(g, width) + 5) + (rest > 0 ? group_bytes(rest, width) + 5 : 0);
  return static_cast<std::uint64_t>(count * bytes);
}

std::int64_t PackedRows::row_bytes(std::int32_t width) const {
  if (width == float_width) return cols_ * static_cast<std::int64_t>(sizeof(float));
  std::int64_t bytes = 0;
  for (std::int64_t c = 0; c < cols_; c += group_) bytes += group_bytes(std::min(group_, cols_ - c), width);
  return bytes;
}

PackedRows::PackedRows(ConstMatrixView x, std::span<const float> bits, const ActivationGrid& grid)
    : rows_(x.rows), cols_(x.cols), group_(grid.group > 0 ? std::min(grid.group, x.cols) : x.cols) {
  if (static_cast<std::int64_t>(bits.size()) != x.rows)
    throw std::logic_error("PackedRows: " + std::to_string(bits.size()) + " bits for " + std::to_string(x.rows) +
                           " rows");
  std::size_t size = 0, scales = 0;
  for (std::int64_t i = 0; i < rows_; ++i) {
    const std::int32_t width = stored_width(static_cast<double>(bits[static_cast<std::size_t>(i)]));
    if (runs_.empty() || runs_.back().width != width)
      runs_.push_back({static_cast<std::int32_t>(i), width, size, scales});
    size += static_cast<std::size_t>(row_bytes(width));
    scales += width == float_width ? 0 : static_cast<std::size_t>(groups());
    stored_bits_ += static_cast<double>(width) * static_cast<double>(cols_);
  }
  levels_.assign(size + padding, 0);
  scales_.assign(scales, 0.0f);
  zeros_.assign(scales, 0);

  std::uint8_t* to = levels_.data();
  std::size_t scale = 0;
  for (std::int64_t i = 0; i < rows_; ++i) {
    const float* from = x.row(i);
    const auto row_bits = static_cast<double>(bits[static_cast<std::size_t>(i)]);
    const std::int32_t width = stored_width(row_bits);
    if (width == float_width) {
      std::memcpy(to, from, static_cast<std::size_t>(cols_) * sizeof(float));
      to += cols_ * static_cast<std::int64_t>(sizeof(float));
      continue;
    }
    for (std::int64_t c = 0; c < cols_; c += group_, ++scale) {
      const std::int64_t n = std::min(group_, cols_ - c);
      const kernels::Scale s = kernels::make_scale(kernels::measure(from + c, n), steps_of(row_bits), grid.symmetric,
                                                   grid.clip_low(row_bits), grid.clip_high(row_bits));
      if (s.kind == kernels::Scale::Kind::not_a_number) scales_[scale] = std::numeric_limits<float>::quiet_NaN();
      if (s.kind == kernels::Scale::Kind::uniform) {
        scales_[scale] = s.delta;
        zeros_[scale] = static_cast<std::uint8_t>(-s.low);
        for (std::int64_t j = 0; j < n; j += block) {
          const std::uint64_t word = pack_block(from + c + j, std::min(block, n - j), s, width);
          std::memcpy(to + j / block * width, &word,
                      static_cast<std::size_t>(group_bytes(std::min(block, n - j), width)));
        }
      }
      to += group_bytes(n, width);
    }
  }
}

const PackedRows::Run& PackedRows::run_of(std::int64_t row) const {
  return *(
      std::upper_bound(runs_.begin(), runs_.end(), row, [](std::int64_t r, const Run& run) { return r < run.first; }) -
      1);
}

void PackedRows::dequantize(MatrixView out) const {
  for (std::int64_t i = 0; i < rows_; ++i) {
    const Run& run = run_of(i);
    const std::int64_t bytes = row_bytes(run.width), ahead = i - run.first;
    const std::uint8_t* from = levels_.data() + run.data + static_cast<std::size_t>(ahead * bytes);
    if (run.width == float_width) {
      std::memcpy(out.row(i), from, static_cast<std::size_t>(cols_) * sizeof(float));
      continue;
    }
    std::size_t scale = run.group + static_cast<std::size_t>(ahead * groups());
    for (std::int64_t c = 0; c < cols_; c += group_, ++scale) {
      const std::int64_t n = std::min(group_, cols_ - c);
      unpack_group(from, n, run.width, scales_[scale], static_cast<float>(zeros_[scale]), out.row(i) + c);
      from += group_bytes(n, run.width);
    }
  }
}

std::uint64_t PackedRows::bytes() const {
  return levels_.size() + scales_.size() * sizeof(float) + zeros_.size() + runs_.size() * sizeof(Run);
}

std::int64_t PackedRows::level(std::int64_t row, std::int64_t col) const {
  const Run& run = run_of(row);
  if (run.width == float_width) throw std::logic_error("a row at 16 bits has no levels");
  std::size_t first = run.data + static_cast<std::size_t>((row - run.first) * row_bytes(run.width));
  for (std::int64_t c = 0; c + group_ <= col; c += group_)
    first += static_cast<std::size_t>(group_bytes(group_, run.width));
  std::int64_t q = 0;
  for (std::int64_t b = 0; b < run.width; ++b) {
    const std::int64_t bit = col % group_ * run.width + b;
    q |= static_cast<std::int64_t>(levels_[first + static_cast<std::size_t>(bit / 8)] >> (bit % 8) & 1) << b;
  }
  return q;
}

}  // namespace stamp
