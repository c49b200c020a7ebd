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

struct SlotToAllocate {
  std::string name;
  AllocationRequest rows;   // with energies and spreads; the options are the same for all
  std::int64_t values = 0;  // of a row: what a bit of a row costs
};

struct JointAllocation {
  std::vector<RowBits> bits;  // of every slot
  double average_bits = 0;    // of a value
  double loss = 0;            // predicted noise (B3) of all slots, weighted by their importance
  double bound = 0;           // no choice that the rule allows has less
  bool exact = true;          // false: too many choices came close, and the loss may exceed the least by loss - bound
};

// TrialError ("allocation") where energies are missing or the budget cannot be met.
using JointAllocate = JointAllocation (*)(std::span<const SlotToAllocate>);
JointAllocate joint_allocation(const std::string& kind);  // quant/register.cpp; null for rules of single slots

}  // namespace stamp
