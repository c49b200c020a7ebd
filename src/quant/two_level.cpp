#include "quant/two_level.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/option_info.h"
#include "base/text.h"

namespace stamp {
namespace {

RowBits two_level(const AllocationRequest& r) {
  RowBits rows = uniform_bits(r.tokens, r.low_bits);
  rows.high_tokens = std::min(count_option(r.options, "high_tokens", r.tokens), r.tokens);
  // A tensor that is left alone (16 bits) or finer than the high rows keeps its own bits there.
  rows.high_bits = static_cast<float>(std::max(real_option(r.options, "high_bits"), r.low_bits));
  const std::string pick = text_option(r.options, "pick");
  if (pick == "magnitude") {
    rows.dynamic = true;
    return rows;
  }
  std::vector<std::int64_t> order(static_cast<std::size_t>(r.tokens));
  std::iota(order.begin(), order.end(), 0);
  if (pick == "energy") {
    if (static_cast<std::int64_t>(r.energies.size()) != r.tokens)
      throw TrialError("allocation", "two_level with pick energy needs the energies of " + std::to_string(r.tokens) +
                                         " rows from calibration and got " + std::to_string(r.energies.size()));
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      return r.energies[static_cast<std::size_t>(a)] > r.energies[static_cast<std::size_t>(b)];
    });
  }
  for (std::int64_t i = 0; i < rows.high_tokens; ++i)
    rows.bits[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])] = rows.high_bits;
  return rows;
}

std::string refuse_two_level(const PlanFacts& facts) {
  const std::int64_t k = count_option(facts.options, "high_tokens", facts.context);
  if (facts.context > 0 && k > facts.context)
    return "high_tokens is " + std::to_string(k) + " and a sequence has " + std::to_string(facts.context) + " tokens";
  if (text_option(facts.options, "pick") == "energy" && facts.any_length)
    return "pick: energy is calibrated for one length and zero-shot questions have any; use first or magnitude";
  if (text_option(facts.options, "pick") == "energy" && facts.calibration_samples < 1)
    return "pick: energy needs calibration samples (calibration.samples is 0)";
  if (facts.low_bits < 16 && real_option(facts.options, "high_bits") < facts.low_bits)
    return "high_bits is below the " + number_text(facts.low_bits) + " bits of the other rows";
  return "";
}

}  // namespace

RowBits uniform_bits(std::int64_t tokens, double bits) {
  RowBits rows;
  rows.bits.assign(static_cast<std::size_t>(tokens), static_cast<float>(bits));
  rows.high_bits = static_cast<float>(bits);
  return rows;
}

double published_average(std::int64_t tokens, double low_bits) {
  const auto k = static_cast<double>(std::min<std::int64_t>(64, tokens));
  return low_bits + std::max(0.0, 8 - low_bits) * k / static_cast<double>(tokens);
}

double RowBits::average() const {
  if (bits.empty()) return 0;
  const auto n = static_cast<double>(bits.size());
  const double sum = std::accumulate(bits.begin(), bits.end(), 0.0);
  if (!dynamic) return sum / n;
  const auto k = static_cast<double>(std::min<std::int64_t>(high_tokens, static_cast<std::int64_t>(bits.size())));
  return sum / n + k * (static_cast<double>(high_bits) - static_cast<double>(bits.front())) / n;
}

AllocatorPlugin uniform_plugin() {
  PluginInfo info;
  info.name = "uniform";
  info.summary = "the same bits for every row";
  info.source = "plain per-token quantization; specification methods 1.2";
  info.cost = "nothing";
  return {info, [](const Json&) { return false; },
          [](const AllocationRequest& r) { return uniform_bits(r.tokens, r.low_bits); }};
}

AllocatorPlugin two_level_plugin() {
  PluginInfo info;
  info.name = "two_level";
  info.summary = "a few rows at high bits, the others at the low bits of the tensor";
  info.source = "STaMP (arXiv 2510.26771) section 3.3: 64 tokens at 8 bits; specification methods 2.1, 2.6";
  info.cost = "nothing for first and energy; magnitude finds the largest rows of every sample";
  // any(): the default is shown as 8; real() would make it 8.0.
  OptionInfo high_bits = option::any("high_bits", OptionInfo::Type::real, 8,
                                     "bits of the high-precision rows; 16 leaves them unquantized");
  high_bits.min = 1;
  high_bits.max = 16;
  OptionInfo high_tokens = option::any(
      "high_tokens", OptionInfo::Type::count, 64,
      "number k of high-precision rows, skipped tokens included; s/32: a 32nd of each sequence, one row at least");
  high_tokens.min = 0;
  high_tokens.max = 1 << 24;
  info.options = {high_bits, high_tokens,
                  option::choice("pick", "first", {"first", "magnitude", "energy"},
                                 "which rows: the first k, the k with the largest value in each sample, or the most "
                                 "energetic in calibration")};
  info.refuse = refuse_two_level;
  return {info, [](const Json& options) { return text_option(options, "pick") == "energy"; }, two_level};
}

}  // namespace stamp
