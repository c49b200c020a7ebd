// Which transform, grid and bits every slot of a network gets for a trial. Specification methods 2.2, 2.7, 2.8, 12.4.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/spec.h"
#include "eval/evaluator.h"
#include "models/network.h"
#include "quant/joint_allocation.h"

namespace stamp {

std::vector<Slot*> all_slots(Network& network);  // linear inputs first, then caches, each in the network's order

// What is decided of a slot before the bits are.
struct SlotPlan {
  Slot* slot = nullptr;
  double low_bits = 4;
  ActivationGrid grid;
  bool transformed = true;                             // false: L = I (caches of option B)
  bool high_rows = true;                               // false: low bits only (rows of a context)
  std::shared_ptr<const SequenceTransform> transform;  // of a sequence of the trial's length
  std::string chosen;  // its name, where it was chosen for this slot (engine/slot_choice.h)
  RowBits bits;
  std::shared_ptr<RowRules> whole, decode;  // of sequences of any length, and of rows that come one by one
};

// The slots that a trial quantizes, without transform and bits. Slots at 16 bits are left out, and so are those whose
// rows are a context (SlotRows::context) unless activations.text asks for them: these get L = I and no rows at high
// bits.
std::vector<SlotPlan> plan_slots(Network& network, const QuantizationSpec& spec);

// Tokens that stay outside the transform: those of the specification, but none on a grid, which has no first token that
// others attend to (methods 2.7). `width` as in Segment.
std::int64_t skipped_tokens(const QuantizationSpec& spec, std::int64_t width);

// k of the allocation, skipped tokens included; 0 when it has none.
std::int64_t high_tokens_of(const AllocationSpec& allocation, std::int64_t tokens);
// Does the allocation choose bits from calibrated row energies?
bool needs_row_energies(const AllocationSpec& allocation);

// What the record should say of `levels: auto` where the allocation names no number of high rows, so that 64 are
// assumed; "" where nothing is. `tokens` 0: questions of any length.
std::string assumed_levels(const QuantizationSpec& spec, std::int64_t tokens, std::int64_t width);

// The request for the rows behind the skipped ones. TrialError when the sequence has no such rows, or does not fill a
// grid of `width` (0 = a plain sequence).
SequenceTransformRequest transform_request(const QuantizationSpec& spec, std::int64_t tokens, Gemm gemm,
                                           std::int64_t width = 0);
// diag(I, inner); the inner one alone where nothing is skipped.
std::unique_ptr<SequenceTransform> with_skipped(std::int64_t skip, std::unique_ptr<SequenceTransform> inner);

// Gives every planned slot its transform: one object for all slots, one identity for untransformed ones, or one for
// each slot from `calibrated` (null where the transform needs no calibration).
using CalibratedTransform = std::function<std::shared_ptr<const SequenceTransform>(const SlotInfo&)>;
void set_transforms(std::vector<SlotPlan>& plans, const QuantizationSpec& spec, std::int64_t tokens, Gemm gemm,
                    const CalibratedTransform& calibrated, std::int64_t width = 0);

// Mean row energies of one slot over calibration.
struct RowEnergies {
  std::vector<double> energy;  // e_i
  std::vector<double> spread;  // C_i e_i = d E[r_i^2]
};
AllocationRequest allocation_request(const AllocationSpec& allocation, double low_bits, std::int64_t tokens,
                                     const RowEnergies* energies);
// Of a slot by itself; `energies` may be null where the allocation needs none.
RowBits bits_of(const AllocationSpec& allocation, double low_bits, std::int64_t tokens,
                const RowEnergies* energies = nullptr);
RowBits low_bits_only(double low_bits, std::int64_t tokens);
// Bits of every planned slot; `energies` in the order of `plans`, empty where the allocation needs none. What the
// choice came to where the allocation looks at all slots together (quant/joint_allocation.h): `plans` are all slots
// then.
std::optional<JointAllocation> set_bits(std::vector<SlotPlan>& plans, const AllocationSpec& allocation,
                                        std::int64_t tokens, const std::vector<RowEnergies>& energies);

// Rules of every planned slot: its own transform and bits for sequences of `tokens` on a grid of `width`; for others a
// transform and bits made for them, TrialError where these are calibrated for one length.
void set_rules(std::vector<SlotPlan>& plans, const QuantizationSpec& spec, std::int64_t tokens, Gemm gemm,
               std::int64_t width = 0);

PassBits average_of(const QuantizedBits& activations, const QuantizedBits& caches);
// Has the transform along the sequence a basis for every slot, from calibration?
bool needs_bases(const QuantizationSpec& spec);
// Or has every slot one of several transforms (engine/slot_choice.h)?
bool transform_per_slot(const QuantizationSpec& spec);

// Quantizers of all planned slots, from construction to destruction.
class InstalledQuantizers {
 public:
  // With `statistics`, sums are kept for every slot.
  InstalledQuantizers(const std::vector<SlotPlan>& plans, bool statistics);
  // Bits of what has passed since construction.
  const QuantizedBits& activations() const { return activations_; }
  const QuantizedBits& caches() const { return caches_; }
  PassBits average_bits() const { return average_of(activations_, caches_); }
  ~InstalledQuantizers();
  InstalledQuantizers(const InstalledQuantizers&) = delete;
  InstalledQuantizers& operator=(const InstalledQuantizers&) = delete;
  const std::vector<SlotStatistics>& statistics() const { return statistics_; }  // in the order of the plans

 private:
  std::vector<Slot*> slots_;
  std::vector<SlotStatistics> statistics_;
  QuantizerWorkspace workspace_;
  QuantizedBits activations_, caches_;
};

}  // namespace stamp
