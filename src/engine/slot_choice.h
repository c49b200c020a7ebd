// The transform `per_slot`: every slot takes one of several candidates, from row energies that calibration finds under
// each of them. The energies are those of a trial with that transform alone, under its key in the cache: whichever
// trial measured them, another finds them.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/slots.h"
#include "transforms/per_slot.h"

namespace stamp {

struct SlotCandidates {
  std::vector<TransformCandidate> list;
  std::vector<std::shared_ptr<const SequenceTransform>> transforms;  // behind the skipped tokens; shared by all slots
};
SlotCandidates slot_candidates(const QuantizationSpec& spec, std::int64_t tokens, Gemm gemm, std::int64_t width);
// The trial that has this transform at every slot.
TrialSpec with_candidate(TrialSpec spec, const TransformCandidate& candidate);

// [candidate][plan]. A slot whose rows stay as they are has the same ones in each.
using CandidateEnergies = std::vector<std::vector<RowEnergies>>;

// Gives every transformed plan one of the candidates, with its name (SlotPlan::chosen), the others L = I, and all of
// them their bits. A rule that chooses_transforms() (quant/joint_allocation.h) takes both together; under any other a
// slot has the candidate with the least predicted noise (quant/predicted_noise.h) at the bits that the rule would give
// the slot by itself, the first of several equal ones. Result as of set_bits.
std::optional<JointAllocation> choose_transforms(std::vector<SlotPlan>& plans, const QuantizationSpec& spec,
                                                 std::int64_t tokens, const SlotCandidates& candidates,
                                                 const CandidateEnergies& energies);

// "haar/5 at 12 slots, dct at 3", the most frequent first, then by name.
std::string chosen_text(const std::vector<SlotPlan>& plans);

}  // namespace stamp
