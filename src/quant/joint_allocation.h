// Allocations that see all slots of a trial together and share one budget out among them, instead of the same average
// for each. They are registered like the others (quant/allocation.h) and are asked here; their allocate() of a single
// slot is the choice where that slot is all there is.
//
// They cannot be had while a model is walked through from its file, where later slots have not been measured when
// earlier ones need their bits: PluginInfo::reads is "slots", by which the planner knows them.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "quant/allocation.h"

namespace stamp {

// What calibration found of a slot's rows under one transform, as in AllocationRequest.
struct CandidateRows {
  std::span<const double> energies, spread_energies;
};

struct SlotToAllocate {
  std::string name;
  AllocationRequest rows;   // with energies and spreads; the options are the same for all
  std::int64_t values = 0;  // of a row: what a bit of a row costs
  // Under further transforms, from which a rule that chooses_transforms() takes one for the slot. All are orthonormal:
  // the slot's signal is that of `rows`.
  std::vector<CandidateRows> others = {};
};

struct JointAllocation {
  std::vector<RowBits> bits;            // of every slot
  std::vector<std::size_t> transforms;  // of every slot: 0 = that of `rows`, 1 = the first of `others`, ...
  double average_bits = 0;              // of a value
  double loss = 0;                      // predicted noise (B3) of all slots, weighted by their importance
  double bound = 0;                     // no choice that the rule allows has less
  bool exact = true;  // false: too many choices came close, and the loss may exceed the least by loss - bound
};

// TrialError ("allocation") where energies are missing or the budget cannot be met.
using JointAllocate = JointAllocation (*)(std::span<const SlotToAllocate>);
JointAllocate joint_allocation(const std::string& kind);  // quant/register.cpp; null for rules of single slots
// Does the joint rule take a transform for every slot together with its bits? The others leave `others` alone.
bool chooses_transforms(const std::string& kind);

}  // namespace stamp
