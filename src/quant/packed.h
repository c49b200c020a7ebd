// Quantized rows as they are stored: integers of 1 to 8 bits beside each other, a float32 scale and an integer zero
// point for every group. What comes back is exactly what the grids of quant/grid.h make of the same rows; a zero comes
// back as +0. Specification methods 1.2, 1.3, 12.1.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/matrix.h"
#include "quant/sequence_quantizer.h"

namespace stamp {

class PackedRows {
 public:
  PackedRows() = default;
  // Row i of x (n x d, finite or not) at bits[i]: below 8.01 (fractional bits mean round(2^bits) levels, as in Grid),
  // or 16 and above, which keeps the row as float32. std::logic_error for bits in between: no width would hold them.
  PackedRows(ConstMatrixView x, std::span<const float> bits, const ActivationGrid& grid);

  // out: n x d. Row i = Delta (q - z), group by group.
  void dequantize(MatrixView out) const;

  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return cols_; }
  // Everything that is kept: levels (a group starts at a byte), scales, zero points, and where runs of rows with equal
  // bits begin.
  std::uint64_t bytes() const;
  double stored_bits() const { return stored_bits_; }  // sum over all values of the width of their level

  // The level q of one value, read bit by bit: tests. Not for rows at 16 bits.
  std::int64_t level(std::int64_t row, std::int64_t col) const;

 private:
  // Consecutive rows of one width: of an allocation "first k rows" there are two.
  struct Run {
    std::int32_t first = 0, width = 0;  // width 32: plain floats
    std::size_t data = 0, group = 0;    // of its first row, in levels_ and in scales_
  };
  std::int64_t groups() const { return group_ > 0 ? (cols_ + group_ - 1) / group_ : 0; }
  std::int64_t row_bytes(std::int32_t width) const;
  const Run& run_of(std::int64_t row) const;

  std::int64_t rows_ = 0, cols_ = 0, group_ = 0;
  double stored_bits_ = 0;
  std::vector<Run> runs_;
  std::vector<std::uint8_t> levels_;
  std::vector<float> scales_;        // Delta; NaN where a group holds a value that is not finite
  std::vector<std::uint8_t> zeros_;  // z
};

// Bits of one level at `bits`: 1 to 8, or 32 (a float). std::logic_error where none holds them.
std::int32_t stored_width(double bits);
// Bytes of `count` rows of `cols` values at `bits` each, without the runs; what PackedRows measures, by formula.
std::uint64_t packed_row_bytes(std::int64_t count, std::int64_t cols, double bits, std::int64_t group);

}  // namespace stamp
