// One budget over all slots: a number of high rows for each (`budget`), or whole bits for every row (`integer_joint`).
#pragma once
#include "quant/joint_allocation.h"

namespace stamp {
AllocatorPlugin budget_plugin();
AllocatorPlugin integer_joint_plugin();
JointAllocation allocate_budget(std::span<const SlotToAllocate> slots);
JointAllocation allocate_integer_joint(std::span<const SlotToAllocate> slots);
}  // namespace stamp
