// Allocations over all slots: exact against every combination of high rows, and at the average they promise.
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "base/error.h"
#include "base/seed.h"
#include "quant/budget_choice.h"
#include "quant/joint_budget.h"
#include "support/catch.h"

using namespace stamp;

namespace {

struct Slots {
  std::vector<std::vector<double>> energy, spread;
  std::vector<std::int64_t> values;
  std::vector<double> low_bits;

  std::vector<SlotToAllocate> with(const std::string& kind, const Json& given) const {
    const Json options = complete_options(allocator(kind).info, given, "allocation");
    std::vector<SlotToAllocate> list;
    for (std::size_t i = 0; i < energy.size(); ++i) {
      SlotToAllocate slot;
      slot.name = "slot " + std::to_string(i);
      slot.rows.tokens = static_cast<std::int64_t>(energy[i].size());
      slot.rows.low_bits = low_bits[i];
      slot.rows.options = options;
      slot.rows.energies = energy[i];
      slot.rows.spread_energies = spread[i];
      slot.values = values[i];
      list.push_back(std::move(slot));
    }
    return list;
  }
};

// Rows whose energies fall faster in some slots than in others, with ranges of their own.
Slots random_slots(std::size_t slots, std::size_t rows, std::uint64_t seed) {
  RandomStream stream(seed, "joint");
  Slots s;
  for (std::size_t i = 0; i < slots; ++i) {
    const double fall = 3 * stream.uniform(), scale = std::exp2(10 * stream.uniform());
    s.energy.emplace_back();
    s.spread.emplace_back();
    for (std::size_t row = 0; row < rows; ++row) {
      s.energy.back().push_back(scale * std::exp2(-fall * static_cast<double>(row)) * (0.5 + stream.uniform()));
      s.spread.back().push_back(s.energy.back().back() * (20 + 40 * stream.uniform()));
    }
    s.values.push_back(i % 2 ? 24 : 8);
    s.low_bits.push_back(i % 3 == 2 ? 3 : 4);
  }
  return s;
}

double signal(const Slots& s, std::size_t i) {
  return std::accumulate(s.energy[i].begin(), s.energy[i].end(), 0.0);
}

// Specification methods 2.6, B3 of one slot over its signal.
double noise(const Slots& s, std::size_t i, const std::vector<float>& bits, bool relative = true) {
  double sum = 0;
  for (std::size_t row = 0; row < bits.size(); ++row)
    sum += s.spread[i][row] / 12 / std::pow(std::exp2(static_cast<double>(bits[row])) - 1, 2);
  return relative ? sum / signal(s, i) : sum;
}

double bits_spent(const Slots& s, const std::vector<RowBits>& bits) {
  double sum = 0;
  for (std::size_t i = 0; i < bits.size(); ++i)
    sum += static_cast<double>(s.values[i]) * bits[i].average() * static_cast<double>(s.energy[i].size());
  return sum;
}

std::int64_t high_rows(const RowBits& bits) {
  return std::count(bits.bits.begin(), bits.bits.end(), bits.high_bits);
}

std::vector<float> first_high(double low, std::size_t rows, std::size_t k) {
  std::vector<float> bits(rows, static_cast<float>(low));
  std::fill_n(bits.begin(), k, 8.0f);
  return bits;
}

}  // namespace

TEST_CASE("budget is the best of all numbers of high rows, at no more than the average of two_level") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Slots s = random_slots(3, 6, seed);
    const auto list = s.with("budget", {{"high_tokens", 2}});
    const JointAllocation got = allocate_budget(list);
    double budget = 0;
    for (std::size_t i = 0; i < 3; ++i)
      budget += static_cast<double>(s.values[i]) * (6 * s.low_bits[i] + 2 * (8 - s.low_bits[i]));
    double best = std::numeric_limits<double>::infinity();
    for (std::size_t code = 0; code < 7 * 7 * 7; ++code) {
      double bits = 0, loss = 0;
      for (std::size_t i = 0, c = code; i < 3; ++i, c /= 7) {
        bits +=
            static_cast<double>(s.values[i]) * (6 * s.low_bits[i] + static_cast<double>(c % 7) * (8 - s.low_bits[i]));
        loss += noise(s, i, first_high(s.low_bits[i], 6, c % 7));
      }
      if (bits <= budget) best = std::min(best, loss);
    }
    INFO("seed " << seed);
    CHECK(got.exact);
    CHECK(got.loss == Approx(best).epsilon(1e-10));
    CHECK(got.bound <= got.loss * (1 + 1e-12));
    CHECK(bits_spent(s, got.bits) <= budget);
    double loss = 0, values = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      loss += noise(s, i, got.bits[i].bits);
      values += 6 * static_cast<double>(s.values[i]);
      const auto k = static_cast<std::size_t>(high_rows(got.bits[i]));
      CHECK(got.bits[i].bits == first_high(s.low_bits[i], 6, k));
      CHECK_FALSE(got.bits[i].dynamic);
    }
    CHECK(loss == Approx(got.loss));
    CHECK(got.average_bits == Approx(bits_spent(s, got.bits) / values));
  }
}

TEST_CASE("hundreds of slots of thousands of rows: the average is met, and two_level is beaten") {
  // Bands of equal rows, as of a wavelet, with ranges that differ from row to row.
  RandomStream stream(9, "bands");
  Slots s;
  for (std::size_t i = 0; i < 180; ++i) {
    s.energy.emplace_back();
    s.spread.emplace_back();
    const double fall = 0.3 + 1.5 * stream.uniform();
    for (int row = 0; row < 1024; ++row) {
      const double band = row < 32 ? 0 : std::floor(std::log2(row / 32.0)) + 1;
      s.energy.back().push_back(std::exp2(-fall * band));
      s.spread.back().push_back(s.energy.back().back() * (40 + 10 * stream.uniform()));
    }
    s.values.push_back(i % 3 == 0 ? 1536 : i % 3 == 1 ? 576 : 192);
    s.low_bits.push_back(4);
  }
  double two_level = 0, values = 0;
  for (std::size_t i = 0; i < 180; ++i) {
    two_level += noise(s, i, first_high(4, 1024, 32));
    values += 1024.0 * static_cast<double>(s.values[i]);
  }
  std::map<std::string, double> losses;
  for (const std::string pick : {"first", "noise"}) {
    const JointAllocation got = allocate_budget(s.with("budget", {{"high_tokens", 32}, {"pick", pick}}));
    INFO(pick << " " << got.loss << ", bound " << got.bound);
    losses[pick] = got.loss;
    CHECK(got.loss < two_level);
    CHECK(got.loss <= got.bound * 1.001);
    CHECK(bits_spent(s, got.bits) <= 4.125 * values * (1 + 1e-12));
    CHECK(got.average_bits == Approx(4.125).epsilon(1e-4));
  }
  CHECK(losses["noise"] <= losses["first"]);
}

TEST_CASE("rows by noise are those with the largest spread") {
  Slots s;
  s.energy = {{1, 1, 1, 1}, {1, 1, 1, 1}};
  s.spread = {{1, 9, 2, 8}, {1, 1, 1, 7}};
  s.values = {10, 10};
  s.low_bits = {4, 4};
  const JointAllocation got = allocate_budget(s.with("budget", {{"average_bits", 5.5}, {"pick", "noise"}}));
  CHECK(got.bits[0].bits == std::vector<float>{4, 8, 4, 8});
  CHECK(got.bits[1].bits == std::vector<float>{4, 4, 4, 8});
}

TEST_CASE("importance decides whose noise counts") {
  Slots s;  // the second slot is a hundred times louder and falls less steeply
  s.energy = {{8, 1, 1, 1}, {300, 300, 300, 300}};
  s.spread = {{80, 10, 10, 10}, {3000, 3000, 3000, 3000}};
  s.values = {10, 10};
  s.low_bits = {4, 4};
  const auto k_of = [&](const char* importance) {
    const auto got = allocate_budget(s.with("budget", {{"average_bits", 4.5}, {"importance", importance}}));
    return std::pair(high_rows(got.bits[0]), high_rows(got.bits[1]));
  };
  CHECK(k_of("relative") == std::pair<std::int64_t, std::int64_t>(1, 0));
  CHECK(k_of("absolute") == std::pair<std::int64_t, std::int64_t>(0, 1));
  // A slot without any energy asks for nothing.
  s.energy[1] = s.spread[1] = {0, 0, 0, 0};
  CHECK(k_of("relative") == std::pair<std::int64_t, std::int64_t>(1, 0));
}

TEST_CASE("slots that are left alone have no part in the budget, and a slot by itself keeps its own") {
  Slots s = random_slots(2, 8, 3);
  s.low_bits = {4, 16};
  const JointAllocation got = allocate_budget(s.with("budget", {{"high_tokens", 2}}));
  CHECK(got.bits[1].bits == std::vector<float>(8, 16.0f));
  CHECK(got.average_bits == Approx(5));
  const auto list = s.with("budget", {{"high_tokens", 2}});
  CHECK(allocator("budget").allocate(list[0].rows).bits == first_high(4, 8, 2));
  CHECK(allocator("budget").allocate(list[1].rows).bits == std::vector<float>(8, 16.0f));
  CHECK(allocate_budget({}).bits.empty());
  CHECK(allocate_integer_joint({}).bits.empty());
}

TEST_CASE("integer_joint is the joint rule, and of one slot the integer rule") {
  const Slots s = random_slots(4, 12, 5);
  const JointAllocation got = allocate_integer_joint(s.with("integer_joint", {{"average_bits", 4.25}}));
  std::vector<SlotRows> rows;
  for (std::size_t i = 0; i < 4; ++i) rows.push_back({s.spread[i], s.values[i], 1 / signal(s, i)});
  const JointBits joint = joint_integer_bits(rows, 4.25, 1, 8);
  for (std::size_t i = 0; i < 4; ++i) CHECK(got.bits[i].bits == joint.bits[i]);
  CHECK(got.average_bits == joint.average_bits);
  CHECK(got.average_bits <= 4.25 + 1e-9);
  CHECK(bits_spent(s, got.bits) == Approx(joint.average_bits * 12 * (8 + 24 + 8 + 24)));
  const AllocationRequest one = s.with("integer_joint", {{"average_bits", 4.25}})[0].rows;
  AllocationRequest alone = one;
  alone.options = complete_options(allocator("integer").info, {{"average_bits", 4.25}}, "allocation");
  CHECK(allocator("integer_joint").allocate(one).bits == allocator("integer").allocate(alone).bits);
}

TEST_CASE("which allocations are joint, and what they refuse") {
  CHECK(joint_allocation("budget") == allocate_budget);
  CHECK(joint_allocation("integer_joint") == allocate_integer_joint);
  for (const char* kind : {"uniform", "two_level", "optimal", "integer", "none"}) CHECK(!joint_allocation(kind));
  for (const AllocatorPlugin& p : allocators())
    CHECK((p.info.reads == "slots") == (joint_allocation(p.info.name) != nullptr));
  const auto reason = [](const std::string& kind, const Json& given, int samples, double low = 4) {
    const PluginInfo& info = allocator(kind).info;
    PlanFacts facts;
    facts.context = facts.tokens = 2048;
    facts.calibration_samples = samples;
    facts.low_bits = low;
    facts.options = complete_options(info, given, "allocation");
    return info.refuse(facts);
  };
  for (const char* kind : {"budget", "integer_joint"}) {
    CHECK(reason(kind, Json::object(), 8).empty());
    CHECK(reason(kind, Json::object(), 0).find("calibration") != std::string::npos);
    CHECK(reason(kind, {{"average_bits", 9}}, 8).find("outside") != std::string::npos);
  }
  CHECK(reason("budget", {{"high_bits", 3}}, 8).find("high_bits") != std::string::npos);
  CHECK(reason("budget", {{"high_tokens", 4096}}, 8).find("2048 tokens") != std::string::npos);
  CHECK(reason("budget", {{"average_bits", 3}}, 8) == "an average of 3 bits is outside the 4 to 8 bits of rows");
  CHECK(reason("budget", Json::object(), 8, 16).empty());
  Slots s = random_slots(2, 4, 1);
  s.spread[1][2] = NAN;
  CHECK_THROWS_WITH(allocate_budget(s.with("budget", {{"high_tokens", 1}})), Catch::Contains("slot 1"));
  s.energy[0].pop_back();
  s.spread[0].push_back(1);
  CHECK_THROWS_AS(allocate_integer_joint(s.with("integer_joint", Json::object())), TrialError);
}
