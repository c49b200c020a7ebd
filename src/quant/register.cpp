// The bit allocators, in the order they are listed to users: one line each.
#include "base/error.h"
#include "base/text.h"
#include "quant/allocation.h"
#include "quant/budgeted.h"
#include "quant/joint_budget.h"
#include "quant/two_level.h"

namespace stamp {

const std::vector<AllocatorPlugin>& allocators() {
  static const std::vector<AllocatorPlugin> list{
      uniform_plugin(), two_level_plugin(), optimal_plugin(), integer_plugin(), budget_plugin(), integer_joint_plugin(),
  };
  return list;
}

const AllocatorPlugin& allocator(const std::string& name) {
  std::vector<std::string> names;
  for (const auto& plugin : allocators()) {
    if (plugin.info.name == name) return plugin;
    names.push_back(plugin.info.name);
  }
  throw TrialError("refused",
                   "unknown allocation \"" + name + "\"" + did_you_mean(name, names) + "; known: " + join(names, ", "));
}

JointAllocate joint_allocation(const std::string& kind) {
  if (kind == "budget") return allocate_budget;
  if (kind == "integer_joint") return allocate_integer_joint;
  return nullptr;
}

bool chooses_transforms(const std::string& kind) {
  return kind == "budget";
}

}  // namespace stamp
