// The heart of STaMP: Xhat = L^-1 Q(L X), fused. Rows [0, s) of T = L X are quantized per row or per group of g
// features with their own bits; scales are dynamic. Specification methods 2.2, 2.6, 12.
#pragma once
#include <memory>
#include <vector>

#include "base/matrix.h"
#include "quant/allocation.h"
#include "quant/slot_statistics.h"
#include "transforms/sequence_transform.h"

namespace stamp {

struct ActivationGrid {
  bool symmetric = false;
  double clip = 1.0;
  std::int64_t group = 0;  // 0 = the whole row
  // Learned factors on the lower and upper end of every range, besides `clip`; only for rows of at most learned_bits
  // (they were trained for those, specification 2.9).
  double learned_low = 1.0, learned_high = 1.0;
  double learned_bits = 0;
  double clip_low(double bits) const { return bits <= learned_bits ? clip * learned_low : clip; }
  double clip_high(double bits) const { return bits <= learned_bits ? clip * learned_high : clip; }
};

// Buffers reused from call to call: fresh 32 MB allocations cost more than the arithmetic.
class QuantizerWorkspace {
 public:
  QuantizerWorkspace();
  ~QuantizerWorkspace();
  struct Buffers;
  Buffers& buffers() { return *buffers_; }

 private:
  std::unique_ptr<Buffers> buffers_;
};

// x and out: s x d; out may be x itself. `l` may be identity. `statistics` (may be null) is added to.
void quantize_sequence(ConstMatrixView x, const SequenceTransform& l, const RowBits& bits, const ActivationGrid& grid,
                       MatrixView out, SlotStatistics* statistics, QuantizerWorkspace& workspace);
// The slow twin: dense L in double, row loops. Tests and debugging.
void quantize_sequence_reference(ConstMatrixView x, const SequenceTransform& l, const RowBits& bits,
                                 const ActivationGrid& grid, MatrixView out, SlotStatistics* statistics);
// Energies and spread only (calibration): adds to row_energy, row_range2, signal, samples; x is not changed.
void measure_energies(ConstMatrixView x, const SequenceTransform& l, std::int64_t group, SlotStatistics& statistics,
                      QuantizerWorkspace& workspace);
// Do the conditions of Theorem 1 hold? Empty when they do, otherwise why not ("symmetric grid", "clip 0.9 < 1",
// "learned clip 0.98, 0.95 < 1").
std::string theorem_conditions(const ActivationGrid& grid);

}  // namespace stamp
