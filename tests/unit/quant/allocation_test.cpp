#include <algorithm>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "quant/allocation.h"
#include "quant/grid.h"
#include "support/catch.h"
#include "support/matrices.h"

using namespace stamp;

namespace {

RowBits allocate(const std::string& name, std::int64_t tokens, Json given = Json::object(),
                 const std::vector<double>& energies = {}, double low_bits = 4) {
  const AllocatorPlugin& plugin = allocator(name);
  AllocationRequest request;
  request.tokens = tokens;
  request.low_bits = low_bits;
  request.options = complete_options(plugin.info, given, "allocation");
  request.energies = energies;
  request.spread_energies = energies;
  return plugin.allocate(request);
}

double sum_of(const RowBits& rows) {
  return std::accumulate(rows.bits.begin(), rows.bits.end(), 0.0);
}

// Specification methods 2.6, the objective of the integer rule.
double noise(const std::vector<double>& energies, const std::vector<int>& bits) {
  double sum = 0;
  for (std::size_t i = 0; i < bits.size(); ++i) sum += energies[i] / std::pow(std::exp2(bits[i]) - 1, 2);
  return sum;
}

// Smallest noise over all ways to spend at most the budget, bits 1..most.
double exhaustive(const std::vector<double>& energies, int budget, int most, std::vector<int>& bits) {
  if (bits.size() == energies.size())
    return budget >= 0 ? noise(energies, bits) : std::numeric_limits<double>::infinity();
  double best = std::numeric_limits<double>::infinity();
  for (int b = 1; b <= most; ++b) {
    bits.push_back(b);
    best = std::min(best, exhaustive(energies, budget - b, most, bits));
    bits.pop_back();
  }
  return best;
}

std::vector<double> ar1_like(std::size_t n) {
  std::vector<double> e(n);
  for (std::size_t i = 0; i < n; ++i) e[i] = 100.0 / (1 + 0.1 * static_cast<double>(i * i));
  return e;
}

}  // namespace

TEST_CASE("uniform and two_level") {
  CHECK(allocate("uniform", 5).bits == std::vector<float>(5, 4.0f));
  CHECK(allocate("uniform", 5).average() == 4);
  const RowBits two = allocate("two_level", 2048);
  CHECK(two.average() == Approx(4.125));
  CHECK(two.bits[63] == 8.0f);
  CHECK(two.bits[64] == 4.0f);
  CHECK(two.high_tokens == 64);
  CHECK(allocate("two_level", 10).bits == std::vector<float>(10, 8.0f));  // k above s: everything is high
  CHECK(allocate("two_level", 10).average() == 8);
  CHECK(allocate("two_level", 4, {{"high_tokens", 0}}).average() == 4);
  // A tensor that is left alone keeps its 16 bits in every row.
  CHECK(allocate("two_level", 8, {{"high_tokens", 2}}, {}, 16).bits == std::vector<float>(8, 16.0f));
}

TEST_CASE("two_level picks by energy and by magnitude") {
  const RowBits rows = allocate("two_level", 5, {{"high_tokens", 2}, {"pick", "energy"}}, {1, 9, 3, 9.5, 2});
  CHECK(rows.bits == std::vector<float>{4, 8, 4, 8, 4});
  CHECK_FALSE(rows.dynamic);
  const RowBits dynamic = allocate("two_level", 5, {{"high_tokens", 2}, {"pick", "magnitude"}});
  CHECK(dynamic.dynamic);
  CHECK(dynamic.bits == std::vector<float>(5, 4.0f));
  CHECK(dynamic.average() == Approx(4 + 4 * 2.0 / 5));
  CHECK_THROWS_AS(allocate("two_level", 5, {{"pick", "energy"}}, {1, 2}), TrialError);
  const auto& plugin = allocator("two_level");
  CHECK(plugin.needs_energies({{"pick", "energy"}}));
  CHECK_FALSE(plugin.needs_energies({{"pick", "first"}}));
}

TEST_CASE("optimal follows log2 sqrt(e) - C and meets its budget") {
  const auto e = ar1_like(64);
  const RowBits rows = allocate("optimal", 64, {{"average_bits", 4.125}}, e);
  CHECK(rows.average() == Approx(4.125).epsilon(1e-6));
  // Rows inside the clamps share one C.
  double c = std::numeric_limits<double>::quiet_NaN();
  int inside = 0;
  for (std::size_t i = 0; i < e.size(); ++i) {
    const double b = static_cast<double>(rows.bits[i]);
    CHECK(b >= 1);
    CHECK(b <= 8);
    if (b <= 1.0001 || b >= 7.9999) continue;
    const double here = 0.5 * std::log2(e[i]) - b;
    if (inside++ == 0) c = here;
    CHECK(here == Approx(c).margin(1e-5));
  }
  CHECK(inside > 30);
  // Without clamping, C = mean log2 sqrt e - B / s.
  const std::vector<double> mild{16, 4, 1, 4};
  CHECK(allocate("optimal", 4, {{"average_bits", 4}}, mild).bits == std::vector<float>{5, 4, 3, 4});
}

TEST_CASE("optimal re-solves when rows are clamped, whatever the energies") {
  RandomStream stream(1, "energies");
  for (int trial = 0; trial < 50; ++trial) {
    const auto n = static_cast<std::int64_t>(1 + stream.below(40));
    std::vector<double> e;
    for (std::int64_t i = 0; i < n; ++i)
      e.push_back(stream.below(5) == 0 ? 0.0 : std::exp2(60 * stream.uniform() - 30));
    const double average = 1 + 7 * stream.uniform();
    const RowBits rows = allocate("optimal", n, {{"average_bits", average}}, e);
    CHECK(rows.average() == Approx(average).epsilon(1e-5));
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j < n; ++j)
        if (e[static_cast<std::size_t>(i)] > e[static_cast<std::size_t>(j)])
          CHECK(rows.bits[static_cast<std::size_t>(i)] >= rows.bits[static_cast<std::size_t>(j)]);
  }
  CHECK(allocate("optimal", 3, {{"average_bits", 4}}, {0, 0, 0}).bits == std::vector<float>(3, 4.0f));
  CHECK(allocate("optimal", 2048, Json::object(), ar1_like(2048)).average() == Approx(4.125).epsilon(1e-5));
}

TEST_CASE("integer is the exhaustive optimum") {
  RandomStream stream(2, "energies");
  for (int trial = 0; trial < 60; ++trial) {
    const auto n = 1 + stream.below(5);
    std::vector<double> e;
    for (std::uint64_t i = 0; i < n; ++i) e.push_back(std::exp2(24 * stream.uniform()));
    const int budget = static_cast<int>(n + stream.below(4 * n));
    const RowBits rows =
        allocate("integer", static_cast<std::int64_t>(n),
                 {{"average_bits", static_cast<double>(budget) / static_cast<double>(n)}, {"max_bits", 6}}, e);
    CHECK(sum_of(rows) == budget);
    std::vector<int> bits(rows.bits.begin(), rows.bits.end()), none;
    CHECK(noise(e, bits) == Approx(exhaustive(e, budget, 6, none)).epsilon(1e-12));
  }
}

TEST_CASE("integer meets its budget and its limits") {
  const RowBits rows = allocate("integer", 2048, Json::object(), ar1_like(2048));
  CHECK(sum_of(rows) == 2048 * 4 + 64 * 4);
  for (const float b : rows.bits) CHECK((b >= 1 && b <= 8));
  // Ties go to earlier rows; a full budget stops at max_bits.
  CHECK(allocate("integer", 4, {{"average_bits", 1.5}}, {1, 1, 1, 1}).bits == std::vector<float>{2, 2, 1, 1});
  CHECK(allocate("integer", 3, {{"average_bits", 8}}, {1, 5, 0}).bits == std::vector<float>(3, 8.0f));
}

TEST_CASE("faults are told") {
  CHECK_THROWS_AS(allocator("two_levels"), TrialError);
  CHECK_THROWS_AS(allocate("optimal", 4, Json::object(), {1, 2}), TrialError);
  CHECK_THROWS_AS(allocate("integer", 2, Json::object(), {1, NAN}), TrialError);
  const auto reason = [](const std::string& name, Json given, std::int64_t context, int samples, double low = 4) {
    const PluginInfo& info = allocator(name).info;
    PlanFacts facts;
    facts.context = facts.tokens = context;
    facts.calibration_samples = samples;
    facts.low_bits = low;
    facts.options = complete_options(info, given, "allocation");
    return info.refuse ? info.refuse(facts) : std::string();
  };
  CHECK(reason("two_level", {{"high_tokens", 65}}, 64, 0).find("64 tokens") != std::string::npos);
  CHECK(reason("two_level", {{"high_tokens", 64}}, 64, 0).empty());
  CHECK(reason("two_level", {{"pick", "energy"}}, 2048, 0).find("calibration") != std::string::npos);
  CHECK(reason("two_level", {{"high_bits", 3}}, 2048, 0).find("high_bits") != std::string::npos);
  CHECK(reason("two_level", Json::object(), 2048, 0, 16).empty());
  CHECK(reason("optimal", Json::object(), 2048, 0).find("calibration") != std::string::npos);
  CHECK(reason("optimal", Json::object(), 2048, 4).empty());
  CHECK(reason("integer", {{"average_bits", 9}}, 2048, 4) ==
        "an average of 9 bits is outside min_bits 1 to max_bits 8");
  CHECK(reason("integer", {{"min_bits", 6}, {"max_bits", 5}}, 2048, 4).find("above") != std::string::npos);
  CHECK(reason("uniform", Json::object(), 1, 0).empty());
}

TEST_CASE("a share of the sequence is rounded and never empty", "[allocation]") {
  // Specification methods 2.5: k = max(1, round(s / 32)).
  for (const auto& [tokens, k] : std::vector<std::pair<std::int64_t, std::int64_t>>{
           {1, 1}, {16, 1}, {47, 1}, {48, 2}, {79, 2}, {80, 3}, {150, 5}, {2048, 64}, {2047, 64}}) {
    const RowBits rows = allocate("two_level", tokens, {{"high_tokens", "s/32"}});
    INFO(tokens);
    CHECK(rows.high_tokens == k);
    CHECK(std::count(rows.bits.begin(), rows.bits.end(), 8.0f) == k);
    CHECK(rows.average() == Approx(4 + 4 * static_cast<double>(k) / static_cast<double>(tokens)));
    CHECK(allocate("two_level", tokens, {{"high_tokens", "s/1"}}).average() == 8);
  }
  CHECK_THROWS_WITH(allocate("two_level", 5, {{"high_tokens", "s/0"}}), Catch::Contains("s/0"));
}
