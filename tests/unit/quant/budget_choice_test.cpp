// One budget over all slots: exact against every combination, and against the rule of one slot.
#include <limits>

#include "base/error.h"
#include "base/seed.h"
#include "quant/allocation.h"
#include "quant/budget_choice.h"
#include "quant/grid.h"
#include "support/catch.h"

using namespace stamp;

namespace {

// The slow twin: every combination.
double exhaustive(const std::vector<std::vector<SlotOption>>& slots, double budget, std::size_t at = 0) {
  if (at == slots.size()) return budget >= 0 ? 0 : std::numeric_limits<double>::infinity();
  double best = std::numeric_limits<double>::infinity();
  for (const SlotOption& o : slots[at]) best = std::min(best, o.loss + exhaustive(slots, budget - o.bits, at + 1));
  return best;
}

std::vector<std::vector<SlotOption>> random_slots(RandomStream& stream, std::size_t slots, std::uint64_t most_options) {
  std::vector<std::vector<SlotOption>> all(slots);
  for (auto& options : all)
    for (std::uint64_t n = 1 + stream.below(most_options); n > 0; --n)
      options.push_back({static_cast<double>(1 + stream.below(40)), std::exp2(12 * stream.uniform()), 0, 0});
  return all;
}

double least_bits(const std::vector<std::vector<SlotOption>>& slots) {
  double sum = 0;
  for (const auto& options : slots) {
    double least = options[0].bits;
    for (const SlotOption& o : options) least = std::min(least, o.bits);
    sum += least;
  }
  return sum;
}

// The least loss by a table over whole bits.
double by_table(const std::vector<std::vector<SlotOption>>& slots, std::size_t budget) {
  std::vector<double> least(budget + 1, 0.0);
  for (const auto& options : slots) {
    std::vector<double> next(budget + 1, std::numeric_limits<double>::infinity());
    for (const SlotOption& o : options)
      for (auto b = static_cast<std::size_t>(o.bits); b <= budget; ++b)
        next[b] = std::min(next[b], least[b - static_cast<std::size_t>(o.bits)] + o.loss);
    least = std::move(next);
  }
  return least[budget];
}

}  // namespace

TEST_CASE("the choice over all slots is the best of all combinations") {
  RandomStream stream(3, "slots");
  for (int trial = 0; trial < 300; ++trial) {
    const auto slots = random_slots(stream, 1 + stream.below(5), 6);
    const double budget = least_bits(slots) + static_cast<double>(stream.below(90));
    const BudgetChoice choice = choose_within_budget(slots, budget);
    CHECK(choice.exact);
    CHECK(choice.bits <= budget);
    CHECK(choice.loss == Approx(exhaustive(slots, budget)).epsilon(1e-12));
    CHECK(choice.bound <= choice.loss * (1 + 1e-12));
    double loss = 0;
    for (std::size_t i = 0; i < slots.size(); ++i) loss += slots[i][choice.chosen[i]].loss;
    CHECK(loss == Approx(choice.loss));
  }
}

TEST_CASE("hundreds of slots with tens of options agree with a table over bits") {
  RandomStream stream(4, "slots");
  for (int trial = 0; trial < 4; ++trial) {
    const auto slots = random_slots(stream, 180, 30);
    const double budget = least_bits(slots) + 700 + static_cast<double>(stream.below(900));
    const BudgetChoice choice = choose_within_budget(slots, budget);
    CHECK(choice.exact);
    CHECK(choice.loss == Approx(by_table(slots, static_cast<std::size_t>(budget))).epsilon(1e-12));
  }
}

TEST_CASE("limits of the budget: too small is told, plenty takes the best options") {
  const std::vector<std::vector<SlotOption>> slots{{{4, 10, 0, 0}, {8, 1, 0, 0}}, {{3, 5, 0, 0}, {9, 5, 0, 0}}};
  CHECK_THROWS_WITH(choose_within_budget(slots, 6.5), Catch::Contains("6.5") && Catch::Contains("7"));
  CHECK(choose_within_budget(slots, 7).loss == 15);
  const BudgetChoice plenty = choose_within_budget(slots, 1000);
  CHECK(plenty.loss == 6);
  CHECK(plenty.bits == 11);  // never more than it needs
  CHECK(plenty.bound == 6);
  CHECK_THROWS_AS(choose_within_budget(std::vector<std::vector<SlotOption>>{{}}, 7), TrialError);
  CHECK(choose_within_budget(std::vector<std::vector<SlotOption>>{}, 0).loss == 0);
}

TEST_CASE("a limit on states keeps the choice feasible and says that it is not proved") {
  RandomStream stream(5, "slots");
  const auto slots = random_slots(stream, 60, 30);
  const double budget = least_bits(slots) + 333;
  const BudgetChoice best = choose_within_budget(slots, budget), rough = choose_within_budget(slots, budget, 2);
  CHECK(rough.bits <= budget);
  CHECK(rough.loss >= best.loss * (1 - 1e-12));
  CHECK(rough.bound <= best.loss);
  CHECK((rough.exact || rough.loss < best.loss * 1.1));
}

TEST_CASE("two-level options: the best transform and number of high rows of two slots, by hand") {
  const std::vector<double> flat_low{4, 4, 4, 4}, flat_high(4, 0.0), steep_low{13, 1, 1, 1}, steep_high(4, 0.0);
  const std::vector<std::int64_t> ks{0, 1, 2};
  auto slot = two_level_options(flat_low, flat_high, 4, 8, ks, 10, 1, 0);
  const auto other = two_level_options(steep_low, steep_high, 4, 8, ks, 10, 1, 1);
  CHECK(slot[2].bits == (16 + 8) * 10);
  CHECK(slot[2].loss == 8);
  CHECK(other[1].loss == 3);
  slot.insert(slot.end(), other.begin(), other.end());
  const std::vector<std::vector<SlotOption>> slots{slot, two_level_options(flat_low, flat_high, 4, 8, ks, 10, 0.1, 0)};
  const BudgetChoice choice = choose_within_budget(slots, 160 + 160 + 40);  // one high row in all
  CHECK(slots[0][choice.chosen[0]].candidate == 1);
  CHECK(slots[0][choice.chosen[0]].high_tokens == 1);
  CHECK(slots[1][choice.chosen[1]].high_tokens == 0);
  CHECK_THROWS_AS(two_level_options(flat_low, flat_high, 4, 8, std::vector<std::int64_t>{5}, 10, 1, 0),
                  std::logic_error);
}

TEST_CASE("joint whole bits are the best there are, and of one slot the integer rule's") {
  RandomStream stream(6, "rows");
  for (int trial = 0; trial < 40; ++trial) {
    std::vector<std::vector<double>> spread(2);
    for (auto& rows : spread)
      for (int i = 0; i < 2; ++i) rows.push_back(std::exp2(20 * stream.uniform()));
    const std::int64_t wide = trial % 2 ? 1 : 3;  // how much wider the second slot is
    const std::vector<SlotRows> slots{{spread[0], 8, 1.0}, {spread[1], 8 * wide, 0.5}};
    const double average = 1 + 4 * stream.uniform();
    const JointBits joint = joint_integer_bits(slots, average, 1, 6);
    const double values = static_cast<double>(16 + 16 * wide);
    double best = std::numeric_limits<double>::infinity();
    for (int code = 0; code < 6 * 6 * 6 * 6; ++code) {
      double bits = 0, loss = 0;
      for (std::size_t s = 0, c = static_cast<std::size_t>(code); s < 2; ++s)
        for (std::size_t i = 0; i < 2; ++i, c /= 6) {
          const double b = static_cast<double>(c % 6 + 1);
          bits += b * static_cast<double>(slots[s].values);
          loss += slots[s].importance * spread[s][i] / 12 / std::pow(std::exp2(b) - 1, 2);
        }
      if (bits <= average * values + 1e-9) best = std::min(best, loss);
    }
    INFO("average " << average << ", wide " << wide);
    CHECK(joint.average_bits <= average + 1e-9);
    CHECK(joint.loss >= best * (1 - 1e-10));
    CHECK(joint.bound <= best * (1 + 1e-10));
    if (wide == 1) CHECK(joint.loss == Approx(best).epsilon(1e-10));
  }
  std::vector<double> rows;
  for (int i = 0; i < 64; ++i) rows.push_back(100.0 / (1 + 0.1 * i * i));
  AllocationRequest request;
  request.tokens = 64;
  request.options = {{"average_bits", 4.25}, {"min_bits", 1}, {"max_bits", 8}};
  request.energies = request.spread_energies = rows;
  const std::vector<SlotRows> one{{rows, 100, 7.0}};
  CHECK(joint_integer_bits(one, 4.25, 1, 8).bits[0] == allocator("integer").allocate(request).bits);
  CHECK_THROWS_AS(joint_integer_bits(one, 0.5, 1, 8), TrialError);
}
