#include "quant/joint_budget.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/option_info.h"
#include "base/text.h"
#include "quant/budget_choice.h"
#include "quant/budgeted.h"
#include "quant/grid.h"
#include "quant/two_level.h"

namespace stamp {
namespace {

// Choices that come close to the best are enumerated; a few thousand are usual, and every one is kept for every slot.
constexpr std::size_t most_states = 20'000;

// Rows under every transform that a slot can have, its own first.
std::vector<CandidateRows> rows_of(const SlotToAllocate& slot) {
  std::vector<CandidateRows> all{{slot.rows.energies, slot.rows.spread_energies}};
  all.insert(all.end(), slot.others.begin(), slot.others.end());
  return all;
}

void need_energies(const std::string& kind, const SlotToAllocate& slot) {
  for (const CandidateRows& rows : rows_of(slot))
    for (const std::span<const double> values : {rows.energies, rows.spread_energies})
      need_rows(kind + ", slot " + slot.name, values, slot.rows.tokens);
}

double importance_of(const SlotToAllocate& slot) {
  if (text_option(slot.rows.options, "importance") == "absolute") return 1;
  const double signal = std::accumulate(slot.rows.energies.begin(), slot.rows.energies.end(), 0.0);
  return signal > 0 ? 1 / signal : 0;
}

double values_of(const SlotToAllocate& slot) {
  return static_cast<double>(slot.rows.tokens) * static_cast<double>(slot.values);
}

// A slot at 16 bits is left alone: it has no part in the budget.
std::vector<std::size_t> in_budget(std::span<const SlotToAllocate> slots, JointAllocation& out) {
  std::vector<std::size_t> list;
  out.bits.resize(slots.size());
  out.transforms.assign(slots.size(), 0);
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].rows.low_bits < 16)
      list.push_back(i);
    else
      out.bits[i] = uniform_bits(slots[i].rows.tokens, slots[i].rows.low_bits);
  }
  return list;
}

double high_bits_of(const AllocationRequest& r) {
  return std::max(real_option(r.options, "high_bits"), r.low_bits);
}

// What the slot would have on average by itself: as given, or as two_level with the same options.
double two_level_average(const Json& options, std::int64_t tokens, double low_bits) {
  if (const auto found = options.find("average_bits"); found != options.end() && !found->is_null())
    return found->get<double>();
  const auto k = static_cast<double>(std::min(count_option(options, "high_tokens", tokens), tokens));
  const double high = std::max(real_option(options, "high_bits"), low_bits);
  return low_bits + (high - low_bits) * k / static_cast<double>(tokens);
}

// B3 of every row, at bits of its own.
std::vector<double> noise_of(std::span<const double> spreads, const std::vector<std::int64_t>& order, double bits) {
  const auto n = static_cast<double>(steps_of(bits));
  const double factor = bits >= 16 ? 0 : 1 / (12 * n * n);
  std::vector<double> noise;
  for (const std::int64_t row : order) noise.push_back(factor * spreads[static_cast<std::size_t>(row)]);
  return noise;
}

// The order in which the rows of a slot become high. A row gains in proportion to its spread.
std::vector<std::int64_t> order_of(const Json& options, std::span<const double> spreads) {
  std::vector<std::int64_t> order(spreads.size());
  std::iota(order.begin(), order.end(), 0);
  if (text_option(options, "pick") == "noise")
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      return spreads[static_cast<std::size_t>(a)] > spreads[static_cast<std::size_t>(b)];
    });
  return order;
}

// Of every number of high rows, under the transform that leaves least noise there.
std::vector<SlotOption> options_of(const SlotToAllocate& slot) {
  const AllocationRequest& r = slot.rows;
  const double high = high_bits_of(r), importance = importance_of(slot);
  std::vector<std::int64_t> ks(static_cast<std::size_t>(r.tokens) + 1);
  std::iota(ks.begin(), ks.end(), 0);
  std::vector<std::vector<SlotOption>> candidates;
  for (const CandidateRows& rows : rows_of(slot)) {
    const std::vector<std::int64_t> order = order_of(r.options, rows.spread_energies);
    candidates.push_back(two_level_options(noise_of(rows.spread_energies, order, r.low_bits),
                                           noise_of(rows.spread_energies, order, high), r.low_bits, high, ks,
                                           slot.values, importance, static_cast<std::int64_t>(candidates.size())));
  }
  return lower_envelope(candidates);
}

std::string refuse_two_levels(const PlanFacts& facts) {
  if (std::string why = refuse_without_energies(facts); !why.empty()) return why;
  if (facts.low_bits >= 16) return "";
  const double high = real_option(facts.options, "high_bits");
  if (facts.low_bits < 1) return "the noise of rows below one bit has no estimate";
  if (high < facts.low_bits) return "high_bits is below the " + number_text(facts.low_bits) + " bits of the other rows";
  const std::int64_t k = count_option(facts.options, "high_tokens", facts.context);
  if (facts.context > 0 && k > facts.context)
    return "high_tokens is " + std::to_string(k) + " and a sequence has " + std::to_string(facts.context) + " tokens";
  if (facts.context < 1) return "";
  std::string range = "the ";
  range.append(number_text(facts.low_bits)).append(" to ").append(number_text(high)).append(" bits of rows");
  return refuse_average(two_level_average(facts.options, facts.context, facts.low_bits), facts.low_bits, high, range);
}

OptionInfo importance_option() {
  return option::choice(
      "importance", "relative", {"relative", "absolute"},
      "what a slot's noise counts: relative = divided by the slot's signal energy, absolute = as it is");
}

// The rule where one slot is all there is. A row's width does not matter then.
template <JointAllocation (*together)(std::span<const SlotToAllocate>)>
RowBits alone(const AllocationRequest& r) {
  const SlotToAllocate slot{"", r, 1};
  return together({&slot, 1}).bits[0];
}

}  // namespace

JointAllocation allocate_budget(std::span<const SlotToAllocate> slots) {
  JointAllocation out;
  const std::vector<std::size_t> list = in_budget(slots, out);
  std::vector<std::vector<SlotOption>> options;
  double budget = 0, values = 0;
  for (const std::size_t i : list) {
    const AllocationRequest& r = slots[i].rows;
    need_energies("budget", slots[i]);
    options.push_back(options_of(slots[i]));
    budget += two_level_average(r.options, r.tokens, r.low_bits) * values_of(slots[i]);
    values += values_of(slots[i]);
  }
  const BudgetChoice choice = choose_within_budget(options, budget, most_states);
  for (std::size_t j = 0; j < list.size(); ++j) {
    const AllocationRequest& r = slots[list[j]].rows;
    RowBits rows = uniform_bits(r.tokens, r.low_bits);
    rows.high_bits = static_cast<float>(high_bits_of(r));
    const SlotOption& option = options[j][choice.chosen[j]];
    const auto transform = static_cast<std::size_t>(option.candidate);
    const std::vector<std::int64_t> order = order_of(r.options, rows_of(slots[list[j]])[transform].spread_energies);
    for (std::int64_t n = 0; n < option.high_tokens; ++n)
      rows.bits[static_cast<std::size_t>(order[static_cast<std::size_t>(n)])] = rows.high_bits;
    out.bits[list[j]] = std::move(rows);
    out.transforms[list[j]] = transform;
  }
  out.average_bits = values > 0 ? choice.bits / values : 0;
  out.loss = choice.loss;
  out.bound = choice.bound;
  out.exact = choice.exact;
  return out;
}

JointAllocation allocate_integer_joint(std::span<const SlotToAllocate> slots) {
  JointAllocation out;
  const std::vector<std::size_t> list = in_budget(slots, out);
  if (list.empty()) return out;
  std::vector<SlotRows> rows;
  double budget = 0, values = 0;
  for (const std::size_t i : list) {
    need_energies("integer_joint", slots[i]);
    rows.push_back({slots[i].rows.spread_energies, slots[i].values, importance_of(slots[i])});
    budget += budget_average(slots[i].rows.options, slots[i].rows.tokens, slots[i].rows.low_bits) * values_of(slots[i]);
    values += values_of(slots[i]);
  }
  const Json& options = slots[list[0]].rows.options;
  JointBits joint = joint_integer_bits(rows, budget / values, integer_option(options, "min_bits"),
                                       integer_option(options, "max_bits"));
  for (std::size_t j = 0; j < list.size(); ++j) out.bits[list[j]].bits = std::move(joint.bits[j]);
  out.average_bits = joint.average_bits;
  out.loss = joint.loss;
  out.bound = joint.bound;
  return out;
}

AllocatorPlugin budget_plugin() {
  PluginInfo info;
  info.name = "budget";
  info.summary =
      "two levels, a number of high rows for every slot: the least noise of all slots together at one average";
  info.source = "specification methods 2.6 (B3); multiple-choice knapsack, E. Zemel 1980, D. Pisinger 1995";
  info.cost = "row energies and ranges from calibration";
  OptionInfo tokens = option::any("high_tokens", OptionInfo::Type::count, 64,
                                  "rows of two_level whose average auto means, and that levels: auto of a transform "
                                  "fits; s/32: a 32nd of each sequence");
  tokens.min = 0;
  tokens.max = 1 << 24;
  OptionInfo average = option::real(
      "average_bits", 4, 1, 16, "average bits of all values of all slots; auto = that of two_level with high_tokens");
  average.fallback = nullptr;
  info.options = {option::real("high_bits", 8, 1, 16, "bits of the high-precision rows; 16 leaves them unquantized"),
                  tokens, average,
                  option::choice("pick", "first", {"first", "noise"},
                                 "which rows of a slot: the first ones, or those whose calibrated noise drops most"),
                  importance_option()};
  info.needs_calibration = true;
  info.reads = "slots";
  info.refuse = refuse_two_levels;
  return {info, [](const Json&) { return true; }, alone<allocate_budget>};
}

AllocatorPlugin integer_joint_plugin() {
  PluginInfo info;
  info.name = "integer_joint";
  info.summary =
      "whole bits as of integer, but one at a time to the row of any slot whose noise drops most for its width";
  info.source = "specification methods 2.6 (greedy; optimal because drops shrink with b)";
  info.cost = "row energies and ranges from calibration";
  info.options = budget_options(OptionInfo::Type::integer);
  info.options.push_back(importance_option());
  info.needs_calibration = true;
  info.reads = "slots";
  info.refuse = refuse_budget;
  return {info, [](const Json&) { return true; }, alone<allocate_integer_joint>};
}

}  // namespace stamp
