// A transform for every slot together with its number of high rows: against every pair of the two, and on rows whose
// best transform is known.
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/seed.h"
#include "quant/budget_choice.h"
#include "quant/joint_budget.h"
#include "quant/predicted_noise.h"
#include "quant/sequence_quantizer.h"
#include "quant/two_level.h"
#include "support/catch.h"
#include "support/matrices.h"
#include "transforms/per_slot.h"

using namespace stamp;
using test::Matrix;

namespace {

struct Rows {
  std::vector<double> energy, spread;
};

// Slots whose rows under several transforms have the same sum of energies, with ranges of their own.
struct Bench {
  std::vector<std::vector<Rows>> slots;  // slot, transform
  std::vector<std::int64_t> values;
  std::vector<double> low_bits;

  std::vector<SlotToAllocate> with(const std::string& kind, const Json& given) const {
    const Json options = complete_options(allocator(kind).info, given, "allocation");
    std::vector<SlotToAllocate> list;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      SlotToAllocate slot;
      slot.name = "slot " + std::to_string(i);
      slot.rows.tokens = static_cast<std::int64_t>(slots[i][0].energy.size());
      slot.rows.low_bits = low_bits[i];
      slot.rows.options = options;
      slot.rows.energies = slots[i][0].energy;
      slot.rows.spread_energies = slots[i][0].spread;
      slot.values = values[i];
      for (std::size_t c = 1; c < slots[i].size(); ++c) slot.others.push_back({slots[i][c].energy, slots[i][c].spread});
      list.push_back(std::move(slot));
    }
    return list;
  }
};

Bench random_bench(std::size_t slots, std::size_t transforms, std::size_t rows, std::uint64_t seed) {
  RandomStream stream(seed, "transforms");
  Bench b;
  for (std::size_t i = 0; i < slots; ++i) {
    const double scale = std::exp2(8 * stream.uniform());
    b.slots.emplace_back();
    for (std::size_t c = 0; c < transforms; ++c) {
      Rows r;
      const double fall = 3 * stream.uniform();
      for (std::size_t row = 0; row < rows; ++row)
        r.energy.push_back(std::exp2(-fall * static_cast<double>(row)) * (0.5 + stream.uniform()));
      const double sum = std::accumulate(r.energy.begin(), r.energy.end(), 0.0);
      for (double& e : r.energy) {
        e *= scale / sum;
        r.spread.push_back(e * (20 + 40 * stream.uniform()));
      }
      b.slots.back().push_back(std::move(r));
    }
    b.values.push_back(i % 2 ? 24 : 8);
    b.low_bits.push_back(i % 3 == 2 ? 3 : 4);
  }
  return b;
}

// The rows that become high first: as they come, or those with the largest ranges.
std::vector<std::size_t> order_of(const Rows& rows, bool by_noise) {
  std::vector<std::size_t> order(rows.spread.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (by_noise)
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return rows.spread[a] > rows.spread[b]; });
  return order;
}

// Specification methods 2.6, B3, over the signal.
double noise(const Rows& rows, double low, std::size_t k, bool by_noise, double signal) {
  double sum = 0;
  const auto order = order_of(rows, by_noise);
  for (std::size_t n = 0; n < order.size(); ++n)
    sum += rows.spread[order[n]] / 12 / std::pow(std::exp2(n < k ? 8.0 : low) - 1, 2);
  return sum / signal;
}

double signal(const Bench& b, std::size_t i) {
  return std::accumulate(b.slots[i][0].energy.begin(), b.slots[i][0].energy.end(), 0.0);
}

std::size_t high_rows(const RowBits& bits) {
  return static_cast<std::size_t>(std::count(bits.bits.begin(), bits.bits.end(), bits.high_bits));
}

// The rows of x under every transform of the list.
std::vector<Rows> rows_under(const Matrix& x, const std::vector<TransformCandidate>& candidates) {
  std::vector<Rows> all;
  QuantizerWorkspace workspace;
  for (const TransformCandidate& c : candidates) {
    SequenceTransformRequest request;
    request.tokens = x.rows;
    request.options = c.options;
    SlotStatistics sums;
    measure_energies(x.view(), *make_sequence_transform(c.transform, request), 0, sums, workspace);
    all.push_back({sums.row_energy, sums.row_range2});
  }
  return all;
}

}  // namespace

TEST_CASE("transforms and high rows together: the best of all pairs at every slot") {
  const std::size_t transforms = 3, rows = 4, pairs = transforms * (rows + 1);
  bool other_than_first = false, differs_from_alone = false;
  for (std::uint64_t seed = 0; seed < 25; ++seed)
    for (const bool by_noise : {false, true}) {
      const Bench b = random_bench(3, transforms, rows, seed);
      const auto list = b.with("budget", {{"high_tokens", 1}, {"pick", by_noise ? "noise" : "first"}});
      const JointAllocation got = allocate_budget(list);
      double budget = 0;
      for (std::size_t i = 0; i < 3; ++i)
        budget += static_cast<double>(b.values[i]) * (4 * b.low_bits[i] + (8 - b.low_bits[i]));
      double best = std::numeric_limits<double>::infinity();
      for (std::size_t code = 0; code < pairs * pairs * pairs; ++code) {
        double bits = 0, loss = 0;
        for (std::size_t i = 0, c = code; i < 3; ++i, c /= pairs) {
          const std::size_t k = c % pairs / transforms, t = c % transforms;
          bits += static_cast<double>(b.values[i]) * (4 * b.low_bits[i] + static_cast<double>(k) * (8 - b.low_bits[i]));
          loss += noise(b.slots[i][t], b.low_bits[i], k, by_noise, signal(b, i));
        }
        if (bits <= budget) best = std::min(best, loss);
      }
      INFO("seed " << seed << (by_noise ? ", by noise" : ", first"));
      CHECK(got.exact);
      // Sums over rows in another order, and the signal of the first transform for all.
      CHECK(got.loss == Approx(best).epsilon(1e-10));
      CHECK(got.bound <= got.loss * (1 + 1e-12));
      double loss = 0, bits = 0;
      for (std::size_t i = 0; i < 3; ++i) {
        const std::size_t k = high_rows(got.bits[i]), t = got.transforms[i];
        REQUIRE(t < transforms);
        loss += noise(b.slots[i][t], b.low_bits[i], k, by_noise, signal(b, i));
        bits += static_cast<double>(b.values[i]) * 4 * got.bits[i].average();
        const auto order = order_of(b.slots[i][t], by_noise);
        for (std::size_t n = 0; n < rows; ++n)
          CHECK((got.bits[i].bits[order[n]] == 8.0f) == (n < k));  // rows in the order of the chosen transform
        other_than_first = other_than_first || t != 0;
        // At uniform bits the transform with the least sum of ranges would win.
        std::size_t uniform = 0;
        for (std::size_t c = 1; c < transforms; ++c)
          if (noise(b.slots[i][c], b.low_bits[i], 0, false, 1) < noise(b.slots[i][uniform], b.low_bits[i], 0, false, 1))
            uniform = c;
        differs_from_alone = differs_from_alone || t != uniform;
      }
      CHECK(loss == Approx(got.loss));
      CHECK(bits <= budget * (1 + 1e-12));
      // Determined, and never worse than any one transform at every slot.
      const JointAllocation again = allocate_budget(list);
      CHECK(again.transforms == got.transforms);
      CHECK(again.loss == got.loss);
      for (std::size_t t = 0; t < transforms; ++t) {
        Bench one = b;
        for (auto& slot : one.slots) slot = {slot[t]};
        const auto alone =
            allocate_budget(one.with("budget", {{"high_tokens", 1}, {"pick", by_noise ? "noise" : "first"}}));
        CHECK(got.loss <= alone.loss * (1 + 1e-9));
      }
    }
  CHECK(other_than_first);
  CHECK(differs_from_alone);
}

TEST_CASE("the lower envelope loses nothing: the knapsack over all pairs has the same loss, bits and bound") {
  for (std::uint64_t seed = 100; seed < 160; ++seed) {
    RandomStream stream(seed, "envelope");
    std::vector<std::vector<SlotOption>> all(4), least(4);
    double cheapest = 0, most = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      std::vector<std::vector<SlotOption>> candidates(1 + stream.below(4));
      const double width = static_cast<double>(1 + stream.below(5));
      for (std::size_t c = 0; c < candidates.size(); ++c)
        for (std::int64_t k = 0; k < 7; ++k)
          candidates[c].push_back({width * static_cast<double>(10 + 2 * k), std::exp2(-k * 2 * stream.uniform()),
                                   static_cast<std::int64_t>(c), k});
      for (const auto& options : candidates) all[i].insert(all[i].end(), options.begin(), options.end());
      least[i] = lower_envelope(candidates);
      REQUIRE(least[i].size() == 7);
      for (std::size_t k = 0; k < 7; ++k) {
        double smallest = std::numeric_limits<double>::infinity();
        for (const auto& options : candidates) smallest = std::min(smallest, options[k].loss);
        CHECK(least[i][k].loss == smallest);
        CHECK(least[i][k].bits == candidates[0][k].bits);
        CHECK(candidates[static_cast<std::size_t>(least[i][k].candidate)][k].loss == smallest);
      }
      cheapest += width * 10;
      most += width * 22;
    }
    const double budget = cheapest + (most - cheapest) * stream.uniform();
    const BudgetChoice pairs = choose_within_budget(all, budget), envelope = choose_within_budget(least, budget);
    INFO("seed " << seed);
    CHECK(pairs.exact);
    CHECK(envelope.exact);
    CHECK(envelope.loss == Approx(pairs.loss).epsilon(1e-12));
    CHECK(envelope.bits == Approx(pairs.bits).epsilon(1e-12));
    CHECK(envelope.bound == Approx(pairs.bound).epsilon(1e-12));
  }
  CHECK(lower_envelope({}).empty());
  const std::vector<SlotOption> a{{10, 1, 0, 0}, {12, 0.5, 0, 1}}, b{{10, 1, 1, 0}, {12, 0.4, 1, 1}};
  const std::vector<std::vector<SlotOption>> both{a, b};
  CHECK(lower_envelope(both)[0].candidate == 0);  // equal: the first
  CHECK(lower_envelope(both)[1].candidate == 1);
  const std::vector<std::vector<SlotOption>> shorter{a, {b[0]}}, dearer{a, {{10, 1, 1, 0}, {13, 0.4, 1, 1}}};
  CHECK_THROWS_AS(lower_envelope(shorter), std::logic_error);
  CHECK_THROWS_AS(lower_envelope(dearer), std::logic_error);
}

TEST_CASE("constant rows get Haar or cosines, white ones keep what they are") {
  const std::int64_t tokens = 64, features = 48;
  SequenceTransformRequest request;
  request.tokens = tokens;
  const auto candidates = transform_candidates(request);
  Matrix constant(tokens, features), white(tokens, features), smooth(tokens, features);
  RandomStream stream(5, "rows");
  for (std::int64_t j = 0; j < features; ++j) {
    const auto level = static_cast<float>(stream.normal());
    double state = stream.normal();
    for (std::int64_t i = 0; i < tokens; ++i) {
      constant.at(i, j) = level;
      // Uniform values: any mixture of two has a wider range for its energy, so that no transform is as good as none.
      white.at(i, j) = static_cast<float>(2 * stream.uniform() - 1);
      state = 0.99 * state + 0.14 * stream.normal();
      smooth.at(i, j) = static_cast<float>(state);
    }
  }
  Bench b;
  for (const Matrix* x : {&constant, &white, &smooth}) {
    b.slots.push_back(rows_under(*x, candidates));
    b.values.push_back(features);
    b.low_bits.push_back(4);
  }
  const auto name = [&](std::size_t candidate) { return candidates[candidate].transform; };
  const JointAllocation got = allocate_budget(b.with("budget", {{"high_tokens", 8}}));
  CHECK(name(got.transforms[0]) != "identity");
  CHECK(got.transforms[1] == 0);
  CHECK(name(got.transforms[2]) != "identity");
  CHECK(high_rows(got.bits[0]) < 8);  // one row has everything
  CHECK(high_rows(got.bits[1]) + high_rows(got.bits[2]) > 16);
  // Without the others the budget leaves more noise.
  Bench plain = b;
  for (auto& slot : plain.slots) slot.resize(1);
  CHECK(got.loss < 0.5 * allocate_budget(plain.with("budget", {{"high_tokens", 8}})).loss);
}

TEST_CASE("equal rows under every transform: the first, whatever the budget; one that is left alone chooses nothing") {
  Bench b = random_bench(3, 1, 8, 7);
  for (auto& slot : b.slots) {
    const Rows own = slot[0];
    slot.resize(4, own);
  }
  b.low_bits = {4, 16, 4};
  for (const double average : {4.0, 4.5, 6.0, 8.0}) {
    const JointAllocation got = allocate_budget(b.with("budget", {{"average_bits", average}}));
    CHECK(got.transforms == std::vector<std::size_t>{0, 0, 0});
    CHECK(got.bits[1].bits == std::vector<float>(8, 16.0f));
  }
  CHECK(chooses_transforms("budget"));
  for (const AllocatorPlugin& p : allocators())
    if (chooses_transforms(p.info.name)) CHECK(joint_allocation(p.info.name) != nullptr);
  CHECK_FALSE(chooses_transforms("integer_joint"));
  // A rule that does not choose leaves the others alone.
  CHECK(allocate_integer_joint(b.with("integer_joint", {{"average_bits", 4.5}})).transforms ==
        std::vector<std::size_t>{0, 0, 0});
  b.slots[2][3].spread[1] = NAN;
  CHECK_THROWS_WITH(allocate_budget(b.with("budget", {{"high_tokens", 1}})), Catch::Contains("slot 2"));
}

TEST_CASE("predicted noise is B3 of the rows at their bits") {
  const std::vector<double> energy{4, 3, 2, 1}, spread{120, 480, 60, 24};
  RowBits bits = uniform_bits(4, 4);
  CHECK(predicted_noise(bits, energy, spread) == Approx(684.0 / 12 / 225));
  bits.bits[0] = 8;
  CHECK(predicted_noise(bits, energy, spread) == Approx(120.0 / 12 / 65025 + 564.0 / 12 / 225));
  bits.bits[1] = 16;
  CHECK(predicted_noise(bits, energy, spread) == Approx(120.0 / 12 / 65025 + 84.0 / 12 / 225));
  bits.bits[3] = 0.4f;  // one level: zero
  CHECK(predicted_noise(bits, energy, spread) == Approx(120.0 / 12 / 65025 + 60.0 / 12 / 225 + 1));
  // Chosen anew for every sample: taken to be the rows with the largest ranges.
  RowBits dynamic = uniform_bits(4, 4);
  dynamic.dynamic = true;
  dynamic.high_tokens = 1;
  dynamic.high_bits = 8;
  CHECK(predicted_noise(dynamic, energy, spread) == Approx(480.0 / 12 / 65025 + 204.0 / 12 / 225));
  dynamic.high_tokens = 9;
  CHECK(predicted_noise(dynamic, energy, spread) == Approx(684.0 / 12 / 65025));
  CHECK_THROWS_AS(predicted_noise(bits, energy, std::vector<double>{1}), std::logic_error);
}
