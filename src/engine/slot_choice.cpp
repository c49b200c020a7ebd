#include "engine/slot_choice.h"

#include <fmt/format.h>

#include "base/text.h"
#include "quant/predicted_noise.h"

namespace stamp {

SlotCandidates slot_candidates(const QuantizationSpec& spec, std::int64_t tokens, Gemm gemm, std::int64_t width) {
  SequenceTransformRequest request = transform_request(spec, tokens, gemm, width);
  SlotCandidates out;
  out.list = transform_candidates(request);
  for (TransformCandidate& c : out.list) {
    request.options = c.options;
    out.transforms.push_back(with_skipped(skipped_tokens(spec, width), make_sequence_transform(c.transform, request)));
    // Whatever it is called (a wavelet of a short sequence has no level): rows stay as they are.
    if (out.transforms.back()->is_identity()) c.label = "identity";
  }
  return out;
}

TrialSpec with_candidate(TrialSpec spec, const TransformCandidate& candidate) {
  spec.quantization.sequence.transform = candidate.transform;
  spec.quantization.sequence.options = candidate.options;
  return spec;
}

namespace {

// Of a slot by itself.
std::size_t least_noise(const SlotPlan& plan, std::size_t slot, const AllocationSpec& allocation, std::int64_t tokens,
                        const CandidateEnergies& energies) {
  std::size_t best = 0;
  double least = 0;
  for (std::size_t c = 0; c < energies.size(); ++c) {
    const RowEnergies& rows = energies[c][slot];
    const double noise = predicted_noise(bits_of(allocation, plan.low_bits, tokens, &rows), rows.energy, rows.spread);
    if (c > 0 && !(noise < least)) continue;
    best = c;
    least = noise;
  }
  return best;
}

JointAllocation choose_together(std::vector<SlotPlan>& plans, const AllocationSpec& allocation, std::int64_t tokens,
                                const CandidateEnergies& energies, std::vector<std::size_t>& chosen) {
  std::vector<SlotToAllocate> slots;
  std::vector<std::size_t> theirs;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    if (!plans[i].high_rows) {
      plans[i].bits = low_bits_only(plans[i].low_bits, tokens);
      continue;
    }
    const SlotInfo& info = plans[i].slot->info();
    SlotToAllocate slot{info.name, allocation_request(allocation, plans[i].low_bits, tokens, &energies[0][i]),
                        info.features};
    for (std::size_t c = 1; c < energies.size() && plans[i].transformed; ++c)
      slot.others.push_back({energies[c][i].energy, energies[c][i].spread});
    slots.push_back(std::move(slot));
    theirs.push_back(i);
  }
  JointAllocation joint = joint_allocation(allocation.kind)(slots);
  for (std::size_t j = 0; j < theirs.size(); ++j) {
    plans[theirs[j]].bits = joint.bits[j];
    chosen[theirs[j]] = joint.transforms[j];
  }
  return joint;
}

}  // namespace

std::optional<JointAllocation> choose_transforms(std::vector<SlotPlan>& plans, const QuantizationSpec& spec,
                                                 std::int64_t tokens, const SlotCandidates& candidates,
                                                 const CandidateEnergies& energies) {
  const AllocationSpec& allocation = spec.allocation;
  std::vector<std::size_t> chosen(plans.size(), 0);
  std::optional<JointAllocation> joint;
  if (chooses_transforms(allocation.kind)) {
    joint = choose_together(plans, allocation, tokens, energies, chosen);
  } else {
    std::vector<RowEnergies> theirs;
    for (std::size_t i = 0; i < plans.size(); ++i) {
      if (plans[i].transformed) chosen[i] = least_noise(plans[i], i, allocation, tokens, energies);
      theirs.push_back(energies[chosen[i]][i]);
    }
    joint = set_bits(plans, allocation, tokens, theirs);
  }
  for (std::size_t i = 0; i < plans.size(); ++i) {
    if (!plans[i].transformed) continue;
    plans[i].transform = candidates.transforms[chosen[i]];
    plans[i].chosen = candidates.list[chosen[i]].label;
  }
  return joint;
}

std::string chosen_text(const std::vector<SlotPlan>& plans) {
  std::vector<std::string> names, parts;
  for (const SlotPlan& plan : plans)
    if (!plan.chosen.empty()) names.push_back(plan.chosen);
  for (const auto& [name, n] : by_frequency(names))
    parts.push_back(fmt::format("{} at {} slot{}", name, n, n == 1 ? "" : "s"));
  return join(parts, ", ");
}

}  // namespace stamp
