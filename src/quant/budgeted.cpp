#include "quant/budgeted.h"

#include <algorithm>
#include <cmath>
#include <queue>
#include <utility>

#include "base/error.h"
#include "base/option_info.h"
#include "base/text.h"
#include "quant/grid.h"
#include "quant/two_level.h"

namespace stamp {

double budget_average(const Json& options, std::int64_t tokens, double low_bits) {
  const auto found = options.find("average_bits");
  if (found == options.end() || found->is_null()) return published_average(tokens, low_bits);
  return found->get<double>();
}

std::string refuse_without_energies(const PlanFacts& facts) {
  if (facts.any_length)
    return "row energies are calibrated for one length and zero-shot questions have any; use two_level or uniform";
  return facts.calibration_samples < 1 ? "it needs calibration samples (calibration.samples is 0)" : "";
}

std::string refuse_average(double average, double low, double high, const std::string& range) {
  if (!(average < low || average > high)) return "";
  std::string text = "an average of ";
  return text.append(number_text(average)).append(" bits is outside ").append(range);
}

std::string refuse_budget(const PlanFacts& facts) {
  if (std::string why = refuse_without_energies(facts); !why.empty()) return why;
  const double low = real_option(facts.options, "min_bits"), high = real_option(facts.options, "max_bits");
  if (low > high) return "min_bits " + number_text(low) + " is above max_bits " + number_text(high);
  if (facts.context < 1 || facts.low_bits >= 16) return "";
  std::string range = "min_bits ";
  range.append(number_text(low)).append(" to max_bits ").append(number_text(high));
  return refuse_average(budget_average(facts.options, facts.context, facts.low_bits), low, high, range);
}

std::vector<OptionInfo> budget_options(OptionInfo::Type type) {
  const auto bits = [](const char* name, OptionInfo::Type kind, Json fallback, const char* help) {
    OptionInfo o = option::any(name, kind, std::move(fallback), help);
    o.min = 1;
    o.max = 15;
    return o;
  };
  return {bits("average_bits", OptionInfo::Type::real, nullptr,
               "average bits of a row; auto = that of 64 rows at 8 bits and the others at the low bits"),
          bits("min_bits", type, 1, "fewest bits of a row; Theorem 1 needs at least one"),
          bits("max_bits", type, 8, "most bits of a row")};
}

void need_rows(const std::string& name, std::span<const double> values, std::int64_t tokens) {
  if (static_cast<std::int64_t>(values.size()) != tokens)
    throw TrialError("allocation", "allocation " + name + " needs the energies of " + std::to_string(tokens) +
                                       " rows from calibration and got " + std::to_string(values.size()));
  for (const double v : values)
    if (!std::isfinite(v) || v < 0)
      throw TrialError("allocation", "allocation " + name + ": an energy is not a number");
}

namespace {

// b_i = clamp(log2 sqrt(e_i) - C): the sum falls with C, so C is found by bisection; which rows are clamped follows,
// and the rest of the budget is shared out exactly among the others.
RowBits optimal(const AllocationRequest& r) {
  if (r.low_bits >= 16) return uniform_bits(r.tokens, r.low_bits);  // the tensor is left alone
  need_rows("optimal", r.energies, r.tokens);
  const double low = real_option(r.options, "min_bits"), high = real_option(r.options, "max_bits");
  const auto n = static_cast<std::size_t>(r.tokens);
  const double budget = std::clamp(budget_average(r.options, r.tokens, r.low_bits), low, high) * static_cast<double>(n);
  // Rows without energy get a finite place far below the others, so that they take bits last but the budget is met.
  const double top = *std::max_element(r.energies.begin(), r.energies.end());
  const double floor_energy = top > 0 ? top * 1e-30 : 1;
  std::vector<double> want(n);
  for (std::size_t i = 0; i < n; ++i) want[i] = 0.5 * std::log2(std::max(r.energies[i], floor_energy));
  const auto bits_at = [&](double c, std::size_t i) { return std::clamp(want[i] - c, low, high); };
  double c_low = *std::min_element(want.begin(), want.end()) - high;  // all at max_bits
  double c_high = *std::max_element(want.begin(), want.end()) - low;  // all at min_bits
  for (int step = 0; step < 200; ++step) {
    const double c = (c_low + c_high) / 2;
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += bits_at(c, i);
    (sum > budget ? c_low : c_high) = c;
  }
  RowBits rows;
  rows.bits.resize(n);
  for (std::size_t i = 0; i < n; ++i) rows.bits[i] = static_cast<float>(bits_at((c_low + c_high) / 2, i));
  return rows;
}

// Greedy: the next bit goes to the row whose noise C_i e_i / N^2 drops most; drops shrink with b, so it is optimal.
RowBits integer(const AllocationRequest& r) {
  if (r.low_bits >= 16) return uniform_bits(r.tokens, r.low_bits);
  need_rows("integer", r.spread_energies, r.tokens);
  const std::int64_t low = integer_option(r.options, "min_bits"), high = integer_option(r.options, "max_bits");
  const auto n = static_cast<std::size_t>(r.tokens);
  const double average = budget_average(r.options, r.tokens, r.low_bits);
  const auto budget = static_cast<std::int64_t>(std::floor(average * static_cast<double>(n) + 1e-6));
  std::vector<std::int64_t> bits(n, low);
  const auto drop = [&](std::size_t i) {
    const auto now = static_cast<double>(steps_of(static_cast<double>(bits[i])));
    const auto next = static_cast<double>(steps_of(static_cast<double>(bits[i] + 1)));
    return r.spread_energies[i] * (1 / (now * now) - 1 / (next * next));
  };
  struct Candidate {
    double drop;
    std::size_t row;
    bool operator<(const Candidate& other) const {  // ties: the earlier row first
      return drop != other.drop ? drop < other.drop : row > other.row;
    }
  };
  std::priority_queue<Candidate> queue;
  for (std::size_t i = 0; i < n; ++i)
    if (bits[i] < high) queue.push({drop(i), i});
  for (std::int64_t left = budget - low * r.tokens; left > 0 && !queue.empty(); --left) {
    const std::size_t i = queue.top().row;
    queue.pop();
    if (++bits[i] < high) queue.push({drop(i), i});
  }
  RowBits rows;
  rows.bits.assign(bits.begin(), bits.end());
  return rows;
}

}  // namespace

AllocatorPlugin optimal_plugin() {
  PluginInfo info;
  info.name = "optimal";
  info.summary = "the published rule b_i = log2 sqrt(e_i) - C, clamped; fractional bits are round(2^b) levels";
  info.source = "STaMP (arXiv 2510.26771) section 3.3; specification methods 2.6, reverse water-filling";
  info.cost = "row energies from calibration";
  info.options = budget_options(OptionInfo::Type::real);
  info.needs_calibration = true;
  info.refuse = refuse_budget;
  return {info, [](const Json&) { return true; }, optimal};
}

AllocatorPlugin integer_plugin() {
  PluginInfo info;
  info.name = "integer";
  info.summary =
      "whole bits, one at a time to the row whose noise drops most: the exact optimum of sum C_i e_i / N_i^2";
  info.source = "specification methods 2.6 (greedy; optimal because drops shrink with b)";
  info.cost = "row ranges from calibration";
  info.options = budget_options(OptionInfo::Type::integer);
  info.needs_calibration = true;
  info.refuse = refuse_budget;
  return {info, [](const Json&) { return true; }, integer};
}

}  // namespace stamp
