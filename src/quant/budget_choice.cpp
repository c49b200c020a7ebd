#include "quant/budget_choice.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <queue>
#include <stdexcept>
#include <string>

#include "base/error.h"
#include "base/text.h"
#include "quant/grid.h"

namespace stamp {
namespace {

using Options = std::vector<SlotOption>;

// Indices of options that no other one beats in both bits and loss, cheapest first.
std::vector<std::size_t> undominated(const Options& options) {
  std::vector<std::size_t> order(options.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (options[a].bits != options[b].bits) return options[a].bits < options[b].bits;
    if (options[a].loss != options[b].loss) return options[a].loss < options[b].loss;
    return a < b;
  });
  std::vector<std::size_t> kept;
  for (const std::size_t i : order)
    if (kept.empty() || options[i].loss < options[kept.back()].loss) kept.push_back(i);
  return kept;
}

// The lower convex hull of (bits, loss) of undominated options.
std::vector<std::size_t> lower_hull(const Options& options, const std::vector<std::size_t>& candidates) {
  std::vector<std::size_t> hull;
  for (const std::size_t c : candidates) {
    while (hull.size() >= 2) {
      const SlotOption &a = options[hull[hull.size() - 2]], &b = options[hull.back()], &p = options[c];
      // b lies on or above the line from a to p: it is of no use to a multiplier.
      if ((b.loss - a.loss) * (p.bits - a.bits) < (p.loss - a.loss) * (b.bits - a.bits)) break;
      hull.pop_back();
    }
    hull.push_back(c);
  }
  return hull;
}

struct Step {
  double bits, gain;  // what going on to the next hull option costs and saves
  std::size_t slot, from;
  double slope() const { return gain / bits; }
};

struct Relaxed {
  std::vector<std::size_t> chosen;  // feasible
  double multiplier = 0;            // loss per bit
  bool all_fit = false;             // every slot has its best option
};

Relaxed relax(std::span<const Options> slots, const std::vector<std::vector<std::size_t>>& hulls, double budget) {
  std::vector<Step> steps;
  std::vector<std::size_t> at(slots.size(), 0);
  double bits = 0;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    bits += slots[i][hulls[i][0]].bits;
    for (std::size_t h = 0; h + 1 < hulls[i].size(); ++h) {
      const SlotOption &a = slots[i][hulls[i][h]], &b = slots[i][hulls[i][h + 1]];
      steps.push_back({b.bits - a.bits, a.loss - b.loss, i, h});
    }
  }
  std::stable_sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) { return a.slope() > b.slope(); });
  Relaxed out;
  out.all_fit = true;
  for (const Step& step : steps) {
    if (at[step.slot] != step.from) continue;  // an earlier step of this slot did not fit
    if (bits + step.bits > budget) {
      if (out.all_fit) out.multiplier = step.slope();
      out.all_fit = false;
      continue;
    }
    bits += step.bits;
    ++at[step.slot];
  }
  for (std::size_t i = 0; i < slots.size(); ++i) out.chosen.push_back(hulls[i][at[i]]);
  return out;
}

// What the hulls' steps leave of the budget goes to options between them, while one lessens the loss. The closer this
// comes to the bound, the fewer options are left to enumerate.
void spend_rest(std::span<const Options> slots, const std::vector<std::vector<std::size_t>>& candidates, double budget,
                std::vector<std::size_t>& chosen) {
  double left = budget;
  for (std::size_t i = 0; i < slots.size(); ++i) left -= slots[i][chosen[i]].bits;
  for (;;) {
    double gain = 0;
    std::size_t slot = 0, option = 0;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      const SlotOption& now = slots[i][chosen[i]];
      // The dearest that can be paid: options cost more and lose less from one to the next.
      const auto end = std::partition_point(candidates[i].begin(), candidates[i].end(),
                                            [&](std::size_t j) { return slots[i][j].bits - now.bits <= left; });
      if (end == candidates[i].begin()) continue;
      const std::size_t j = *std::prev(end);
      if (now.loss - slots[i][j].loss <= gain) continue;
      gain = now.loss - slots[i][j].loss;
      slot = i;
      option = j;
    }
    if (gain <= 0) return;
    left -= slots[slot][option].bits - slots[slot][chosen[slot]].bits;
    chosen[slot] = option;
  }
}

// A choice of the first slots. `excess`: how much it costs more than the multiplier's own choice.
struct State {
  double bits, loss, excess;
  std::uint32_t parent;
  std::uint32_t option;
};

BudgetChoice summed(std::span<const Options> slots, std::vector<std::size_t> chosen) {
  BudgetChoice out;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    out.bits += slots[i][chosen[i]].bits;
    out.loss += slots[i][chosen[i]].loss;
  }
  out.chosen = std::move(chosen);
  return out;
}

// Rest of the slots from each one on: least and most bits.
struct Rest {
  double least = 0, most = 0;
};

class Enumeration {
 public:
  Enumeration(std::span<const Options> slots, double budget, double multiplier, double gap, std::size_t most_states)
      : slots_(slots), budget_(budget), multiplier_(multiplier), gap_(gap), most_states_(most_states) {}

  // The best choice that beats the gap; empty when there is none.
  std::vector<std::size_t> run(const std::vector<std::vector<std::size_t>>& candidates) {
    keep_close(candidates);
    std::vector<std::size_t> order(slots_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    // Slots without a choice first: they only shift the states.
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return kept_[a].size() < kept_[b].size(); });
    std::vector<Rest> rest(slots_.size() + 1);
    for (std::size_t i = slots_.size(); i-- > 0;) {
      double least = std::numeric_limits<double>::infinity(), most = -least;
      for (const auto& [option, excess] : kept_[order[i]]) {
        least = std::min(least, slots_[order[i]][option].bits);
        most = std::max(most, slots_[order[i]][option].bits);
      }
      rest[i] = {rest[i + 1].least + least, rest[i + 1].most + most};
    }
    std::vector<std::vector<State>> stages{{{0, 0, 0, 0, 0}}};
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      stages.push_back(extend(stages.back(), order[i], rest[i + 1]));
      if (stages.back().empty()) return {};
    }
    const auto best = std::min_element(stages.back().begin(), stages.back().end(),
                                       [](const State& a, const State& b) { return a.loss < b.loss; });
    std::vector<std::size_t> chosen(slots_.size());
    auto at = static_cast<std::size_t>(best - stages.back().begin());
    for (std::size_t i = slots_.size(); i-- > 0;) {
      const State& state = stages[i + 1][at];
      chosen[order[i]] = state.option;
      at = state.parent;
    }
    return chosen;
  }
  bool exact() const { return exact_; }

 private:
  void keep_close(const std::vector<std::vector<std::size_t>>& candidates) {
    kept_.resize(slots_.size());
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      double least = std::numeric_limits<double>::infinity();
      const auto cost = [&](std::size_t j) { return slots_[i][j].loss + multiplier_ * slots_[i][j].bits; };
      for (const std::size_t j : candidates[i]) least = std::min(least, cost(j));
      for (const std::size_t j : candidates[i])
        if (cost(j) - least <= gap_) kept_[i].push_back({j, cost(j) - least});
    }
  }

  std::vector<State> extend(const std::vector<State>& from, std::size_t slot, const Rest& rest) {
    std::vector<State> to;
    for (std::size_t p = 0; p < from.size(); ++p)
      for (const auto& [option, excess] : kept_[slot]) {
        const SlotOption& o = slots_[slot][option];
        const State next{from[p].bits + o.bits, from[p].loss + o.loss, from[p].excess + excess,
                         static_cast<std::uint32_t>(p), static_cast<std::uint32_t>(option)};
        if (next.bits + rest.least > budget_ * (1 + 1e-12)) continue;
        // Bits that can no longer be spent are worth the multiplier each.
        const double unspent = std::max(0.0, budget_ - next.bits - rest.most);
        if (next.excess + multiplier_ * unspent > gap_) continue;
        to.push_back(next);
      }
    std::sort(to.begin(), to.end(),
              [](const State& a, const State& b) { return a.bits != b.bits ? a.bits < b.bits : a.loss < b.loss; });
    std::vector<State> kept;
    for (const State& s : to)
      if (kept.empty() || s.loss < kept.back().loss) kept.push_back(s);
    if (kept.size() > most_states_) {
      exact_ = false;
      std::nth_element(kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(most_states_), kept.end(),
                       [](const State& a, const State& b) { return a.excess < b.excess; });
      kept.resize(most_states_);
    }
    return kept;
  }

  std::span<const Options> slots_;
  double budget_, multiplier_, gap_;
  std::size_t most_states_;
  bool exact_ = true;
  std::vector<std::vector<std::pair<std::size_t, double>>> kept_;  // slot -> options and their reduced costs
};

}  // namespace

BudgetChoice choose_within_budget(std::span<const Options> slots, double budget, std::size_t most_states) {
  std::vector<std::vector<std::size_t>> candidates, hulls;
  double least = 0;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].empty()) throw TrialError("allocation", "slot " + std::to_string(i) + " has no option to choose");
    for (const SlotOption& o : slots[i])
      if (!std::isfinite(o.bits) || !std::isfinite(o.loss))
        throw TrialError("allocation", "slot " + std::to_string(i) + " has an option whose bits or loss are no number");
    candidates.push_back(undominated(slots[i]));
    hulls.push_back(lower_hull(slots[i], candidates.back()));
    least += slots[i][candidates.back()[0]].bits;
  }
  if (least > budget * (1 + 1e-12))
    throw TrialError("allocation", "the budget is " + number_text(budget) + " bits and the cheapest options need " +
                                       number_text(least));
  Relaxed relaxed = relax(slots, hulls, budget);
  if (!relaxed.all_fit) spend_rest(slots, candidates, budget, relaxed.chosen);
  BudgetChoice out = summed(slots, relaxed.chosen);
  if (relaxed.all_fit) {  // nothing is left to gain
    out.bound = out.loss;
    return out;
  }
  out.bound = -relaxed.multiplier * budget;
  double size = 0;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    double best = std::numeric_limits<double>::infinity();
    for (const std::size_t j : hulls[i])
      best = std::min(best, slots[i][j].loss + relaxed.multiplier * slots[i][j].bits);
    out.bound += best;
    size += std::fabs(best);
  }
  const double gap = out.loss - out.bound, rounding = 1e-13 * (size + std::fabs(relaxed.multiplier * budget));
  if (gap <= rounding) return out;
  Enumeration enumeration(slots, budget, relaxed.multiplier, gap + rounding, most_states);
  std::vector<std::size_t> better = enumeration.run(candidates);
  const double bound = out.bound;
  if (!better.empty())
    if (BudgetChoice choice = summed(slots, std::move(better)); choice.loss < out.loss) out = std::move(choice);
  out.bound = bound;
  out.exact = enumeration.exact();
  return out;
}

std::vector<SlotOption> two_level_options(std::span<const double> low_noise, std::span<const double> high_noise,
                                          double low_bits, double high_bits, std::span<const std::int64_t> ks,
                                          std::int64_t values, double importance, std::int64_t candidate) {
  const std::size_t rows = low_noise.size();
  if (high_noise.size() != rows) throw std::logic_error("two_level_options: noise of different numbers of rows");
  // after[k]: noise when the first k rows are high.
  std::vector<double> after(rows + 1, 0.0);
  after[0] = std::accumulate(low_noise.begin(), low_noise.end(), 0.0);
  for (std::size_t i = 0; i < rows; ++i) after[i + 1] = after[i] - low_noise[i] + high_noise[i];
  std::vector<SlotOption> options;
  for (const std::int64_t k : ks) {
    if (k < 0 || k > static_cast<std::int64_t>(rows))
      throw std::logic_error("two_level_options: " + std::to_string(k) + " high rows of " + std::to_string(rows));
    const double bits = (static_cast<double>(rows) * low_bits + static_cast<double>(k) * (high_bits - low_bits)) *
                        static_cast<double>(values);
    options.push_back({bits, importance * after[static_cast<std::size_t>(k)], candidate, k});
  }
  return options;
}

std::vector<SlotOption> lower_envelope(std::span<const std::vector<SlotOption>> candidates) {
  if (candidates.empty()) return {};
  std::vector<SlotOption> least = candidates[0];
  for (const std::vector<SlotOption>& options : candidates.subspan(1)) {
    if (options.size() != least.size()) throw std::logic_error("lower_envelope: candidates of different lengths");
    for (std::size_t i = 0; i < least.size(); ++i) {
      if (options[i].bits != least[i].bits || options[i].high_tokens != least[i].high_tokens)
        throw std::logic_error("lower_envelope: candidates differ in their bits");
      if (options[i].loss < least[i].loss) least[i] = options[i];
    }
  }
  return least;
}

JointBits joint_integer_bits(std::span<const SlotRows> slots, double average_bits, std::int64_t min_bits,
                             std::int64_t max_bits) {
  if (min_bits < 1 || max_bits < min_bits || max_bits > 15)
    throw std::logic_error("joint_integer_bits: bits from " + std::to_string(min_bits) + " to " +
                           std::to_string(max_bits));
  const auto inverse2 = [](std::int64_t bits) {
    const auto n = static_cast<double>(steps_of(static_cast<double>(bits)));
    return 1 / (n * n);
  };
  struct Next {
    double gain;  // loss saved per bit spent
    std::size_t slot, row;
    bool operator<(const Next& o) const {  // ties: the earlier row first
      if (gain != o.gain) return gain < o.gain;
      return slot != o.slot ? slot > o.slot : row > o.row;
    }
  };
  JointBits out;
  double values = 0, spent = 0;
  std::priority_queue<Next> queue;
  const auto noise = [&](std::size_t s, std::size_t i, std::int64_t bits) {
    return slots[s].importance * slots[s].spread[i] / 12 * inverse2(bits);
  };
  const auto next_of = [&](std::size_t s, std::size_t i) {
    const auto bits = static_cast<std::int64_t>(out.bits[s][i]);
    return Next{(noise(s, i, bits) - noise(s, i, bits + 1)) / static_cast<double>(slots[s].values), s, i};
  };
  for (std::size_t s = 0; s < slots.size(); ++s) {
    if (slots[s].values < 1) throw std::logic_error("joint_integer_bits: a slot of no values");
    out.bits.emplace_back(slots[s].spread.size(), static_cast<float>(min_bits));
    const double all = static_cast<double>(slots[s].spread.size()) * static_cast<double>(slots[s].values);
    values += all;
    spent += all * static_cast<double>(min_bits);
    for (std::size_t i = 0; i < slots[s].spread.size(); ++i) {
      const double spread = slots[s].spread[i];
      if (!std::isfinite(spread) || spread < 0)
        throw TrialError("allocation", "joint bits: the range of row " + std::to_string(i) + " of slot " +
                                           std::to_string(s) + " is not a number");
      out.loss += noise(s, i, min_bits);
      if (min_bits < max_bits) queue.push(next_of(s, i));
    }
  }
  const double budget = average_bits * values * (1 + 1e-12);
  if (spent > budget)
    throw TrialError("allocation", "an average of " + number_text(average_bits) + " bits is below min_bits " +
                                       std::to_string(min_bits));
  bool relaxed = false;  // the bound stands still once a bit has not fitted
  out.bound = out.loss;
  while (!queue.empty()) {
    const Next next = queue.top();
    queue.pop();
    const auto cost = static_cast<double>(slots[next.slot].values);
    if (spent + cost > budget) {
      if (!relaxed) out.bound = out.loss - next.gain * std::max(0.0, budget - spent);
      relaxed = true;
      continue;  // a narrower slot's bit may still fit
    }
    spent += cost;
    out.loss -= next.gain * cost;
    if (!relaxed) out.bound = out.loss;
    float& bits = out.bits[next.slot][next.row];
    bits += 1;
    if (static_cast<std::int64_t>(bits) < max_bits) queue.push(next_of(next.slot, next.row));
  }
  out.average_bits = values > 0 ? spent / values : 0;
  return out;
}

}  // namespace stamp
