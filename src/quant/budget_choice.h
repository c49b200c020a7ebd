// One budget over all slots: every slot takes one of its options (transform, levels, number of high rows, ...), the
// options' bits add up to at most the budget, and the sum of losses is the smallest there is. The multiple-choice
// knapsack; solved exactly.
//
// A Lagrange multiplier from the lower convex hulls gives a bound and a feasible choice close to it. What lies between
// the two rules out all options whose reduced cost is larger (E. Zemel 1980, D. Pisinger 1995 for the method), and the
// few that are left are enumerated by cost and loss, dominated states dropped.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace stamp {

struct SlotOption {
  double bits = 0;  // of all values of the slot together
  double loss = 0;  // in a unit that adds up over slots
  // What the option means: the caller's candidate, and how many rows get the high bits.
  std::int64_t candidate = 0, high_tokens = 0;
};

struct BudgetChoice {
  std::vector<std::size_t> chosen;  // an option of every slot
  double bits = 0, loss = 0;
  double bound = 0;  // no choice has less loss than this (the Lagrangian bound)
  bool exact =
      true;  // false: more than `most_states` states, and `loss` may exceed the optimum, by loss - bound at most
};

// TrialError ("allocation") when a slot has no option or the cheapest options exceed the budget (the message has both
// numbers). Bits and losses are finite; negative losses are allowed.
BudgetChoice choose_within_budget(std::span<const std::vector<SlotOption>> slots, double budget_bits,
                                  std::size_t most_states = 2'000'000);

// Options of a two-level rule under one transform. Noise of every row at the low and at the high bits (B3 or B5 of that
// row), rows in the order in which they become high; `ks`: numbers of high rows, each at most the number of rows.
// `values`: of one row; `importance`: factor that makes losses of different slots comparable, such as one over the
// energy of the slot's output.
std::vector<SlotOption> two_level_options(std::span<const double> low_noise, std::span<const double> high_noise,
                                          double low_bits, double high_bits, std::span<const std::int64_t> ks,
                                          std::int64_t values, double importance, std::int64_t candidate);

// One option for every number of high rows, from the options of one slot under several transforms: that of the
// transform with the least loss there, the earliest of several equal ones. `candidates`: options of each transform, all
// with the same bits in the same places (two_level_options of the same ks); std::logic_error otherwise.
//
// The knapsack over these is the knapsack over all pairs of transform and k, at a fraction of the options. A transform
// adds nothing to the bits. So take any choice of a pair for every slot and give each slot the envelope's transform at
// its k: the bits are the same to the last one, hence within the same budgets, and no slot's loss has grown. The least
// loss over pairs is thus reached on the envelope, and so is the Lagrangian bound, the sum of min (loss + m bits),
// since the same exchange lowers every term of it.
std::vector<SlotOption> lower_envelope(std::span<const std::vector<SlotOption>> candidates);

// Whole bits for every row of every slot under one budget, the rule `integer` across slots.
struct SlotRows {
  std::span<const double> spread;  // C_i e_i = d E[r_i^2] of every row
  std::int64_t values = 0;         // d, what a bit of a row costs
  double importance = 1;
};
struct JointBits {
  std::vector<std::vector<float>> bits;  // slot, row
  double average_bits = 0;               // of a value
  double loss = 0;                       // sum of importance * spread / (12 N^2)
  // No rule has less loss at this budget. Equal to `loss` but for the last bits, which may not fit where slots are
  // differently wide; with one width the rule is exact.
  double bound = 0;
};
JointBits joint_integer_bits(std::span<const SlotRows> slots, double average_bits, std::int64_t min_bits,
                             std::int64_t max_bits);

}  // namespace stamp
