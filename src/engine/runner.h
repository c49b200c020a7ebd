// One trial from its specification to its record. Knows work items, slots, metrics and records; not what a decoder is.
#pragma once
#include <string>

#include "base/log.h"
#include "engine/session.h"
#include "results/record.h"

namespace stamp {

struct TrialRequest {
  std::string id;
  Json canonical;  // as in the plan
  TrialSpec spec;
  KeepFile keep_file = {};  // for images and the like; empty: none is kept
};

// Never throws what belongs to the trial: whatever goes wrong becomes a failed record with kind, message and phase.
// Only StoreError passes through.
Record run_trial(Session& session, const TrialRequest& request, Log& log, Progress& progress);

// {worst_ratio, worst_slot, error, b1, b2, b3, b4, b5}: sums over the slots; the worst sample of any slot. Empty
// without slots.
Json bound_summary(const std::vector<SlotResult>& slots);
// {activation_bits, kv_bits, weight_bits}, weighted by features; 16 where nothing is quantized, absent where a network
// has no such slot.
Json average_bits(Network& network, const std::vector<SlotPlan>& plans, const WeightSpec& weights);

}  // namespace stamp
