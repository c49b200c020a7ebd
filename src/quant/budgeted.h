// Bits from calibrated energies at a fixed average: the published continuous rule and the exact integer optimum.
// Specification methods 2.6.
#pragma once
#include "quant/allocation.h"

namespace stamp {
AllocatorPlugin optimal_plugin();
AllocatorPlugin integer_plugin();
// Shared with the rule over all slots: average_bits as given, or what auto means; options; reasons at plan time.
double budget_average(const Json& options, std::int64_t tokens, double low_bits);
std::vector<OptionInfo> budget_options(OptionInfo::Type type_of_bits);
std::string refuse_budget(const PlanFacts& facts);
std::string refuse_without_energies(const PlanFacts& facts);  // the part of it that any calibrated rule has
// Empty within [low, high]; `range` names these two: "min_bits 1 to max_bits 8".
std::string refuse_average(double average, double low, double high, const std::string& range);
// TrialError ("allocation") unless there is one finite energy, at least 0, for every token. `name` is the rule's.
void need_rows(const std::string& name, std::span<const double> values, std::int64_t tokens);
}  // namespace stamp
