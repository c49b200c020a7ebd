// Calibration on items of several sequences: the two samples of guidance in one item, text of another length beside
// them. On the tiny diffusion transformers.
#include <algorithm>
#include <cmath>

#include "engine/calibration.h"
#include "engine/slot_bases.h"
#include "engine/slot_choice.h"
#include "support/catch.h"
#include "unit/diffusion/fixture_items.h"

using namespace stamp;

namespace {

struct Bench {
  std::unique_ptr<Log> log = null_log();
  Progress progress;
  Monitor monitor{*log, progress};
  std::shared_ptr<const DiffusionSource> source;
  std::unique_ptr<DiffusionNetwork> network;
  QuantizationSpec spec;

  explicit Bench(const char* fixture) : source(test::open_diffusion(fixture)) {
    if (source) network = make_diffusion_network(source);
    spec.activations.granularity = "group";
    spec.activations.group_size = 16;
    spec.activations.text = true;
    spec.sequence.transform = "haar2d";
    spec.sequence.skip_first = 1;  // of texts alone
    spec.allocation.options = {{"high_bits", 8.0}, {"high_tokens", 8}, {"pick", "energy"}};
  }
  test::FixtureItems items(bool together) const { return {*source, together}; }
};

std::vector<BasisTask> tasks_of(const std::vector<Slot*>& slots, std::int64_t tokens) {
  std::vector<BasisTask> tasks;
  for (Slot* slot : slots) {
    tasks.push_back({slot, {}});
    tasks.back().request.tokens = tokens;
  }
  return tasks;
}

constexpr const char* fixtures[] = {"dit_tiny", "pixart_tiny", "sana_tiny"};

}  // namespace

TEST_CASE("row energies of two samples in an item are those of the samples one by one, and a context has none") {
  for (const char* name : fixtures) {
    Bench b(name);
    if (!b.source) return;
    const test::FixtureItems pair = b.items(true), single = b.items(false);
    const std::int64_t tokens = pair.tokens_per_item(), width = pair.grid_width();
    std::vector<SlotPlan> plans = plan_slots(*b.network, b.spec);
    REQUIRE(plans.size() == b.network->linear_sites().size());
    set_transforms(plans, b.spec, tokens, plain_gemm, {}, width);
    const auto together = measure_row_energies(whole_pass(*b.network, pair), plans, b.monitor);
    const auto apart = measure_row_energies(whole_pass(*b.network, single), plans, b.monitor);
    REQUIRE(together.size() == plans.size());
    for (std::size_t i = 0; i < plans.size(); ++i) {
      const bool context = plans[i].slot->info().rows == SlotRows::context;
      double total = 0, largest = 0;
      for (std::size_t row = 0; row < together[i].energy.size(); ++row) {
        total += together[i].energy[row];
        largest = std::max({largest, std::fabs(together[i].energy[row] - apart[i].energy[row]),
                            std::fabs(together[i].spread[row] - apart[i].spread[row])});
      }
      INFO(name << " " << plans[i].slot->info().name);
      CHECK(together[i].energy.size() == static_cast<std::size_t>(tokens));
      CHECK((total > 0) == !context);
      CHECK(largest <= 1e-4 * total);
    }
    // They come back from the cache, and choose the rows at high bits of the slots that have some.
    const auto kept = energies_from_bytes(bytes_of_energies(together), plans.size(), static_cast<std::size_t>(tokens));
    REQUIRE(kept.has_value());
    set_bits(plans, b.spec.allocation, tokens, *kept);
    for (const SlotPlan& plan : plans)
      CHECK(std::count(plan.bits.bits.begin(), plan.bits.bits.end(), 8.0f) == (plan.high_rows ? 8 : 0));
  }
}

TEST_CASE("bases of two samples in an item diagonalise the mean correlation of the samples") {
  for (const char* name : fixtures) {
    Bench b(name);
    if (!b.source) return;
    const test::FixtureItems pair = b.items(true);
    const auto n = static_cast<std::size_t>(pair.tokens_per_item());
    std::vector<Slot*> slots;
    for (LinearSite* site : b.network->linear_sites())
      if (site->info().rows == SlotRows::grid) slots.push_back(site);
    // In double, sample by sample, from what the slots see.
    std::vector<std::vector<double>> s(slots.size(), std::vector<double>(n * n, 0.0));
    observe_items(
        whole_pass(*b.network, pair), slots,
        [&](std::size_t slot, ConstMatrixView x) {
          REQUIRE(x.rows == static_cast<std::int64_t>(2 * n));
          for (std::size_t sample = 0; sample < 2; ++sample)
            for (std::size_t i = 0; i < n; ++i)
              for (std::size_t j = 0; j < n; ++j)
                for (std::int64_t k = 0; k < x.cols; ++k)
                  s[slot][i * n + j] += static_cast<double>(x.row(static_cast<std::int64_t>(sample * n + i))[k]) *
                                        static_cast<double>(x.row(static_cast<std::int64_t>(sample * n + j))[k]) / 2;
        },
        b.monitor);
    std::vector<std::vector<float>> bases(slots.size());
    measure_bases(
        whole_pass(*b.network, pair), basis_plugin("klt"), tasks_of(slots, pair.tokens_per_item()), {},
        [&](std::size_t i, std::vector<float> basis) { bases[i] = std::move(basis); }, b.monitor);
    for (std::size_t slot = 0; slot < slots.size(); ++slot) {
      const std::vector<float>& u = bases[slot];
      REQUIRE(u.size() == n * n);
      double trace = 0, off = 0, before = INFINITY;
      for (std::size_t i = 0; i < n; ++i) trace += s[slot][i * n + i];
      bool falls = true;
      for (std::size_t i = 0; i < n; ++i) {
        std::vector<double> image(n, 0.0);  // u_i S
        for (std::size_t k = 0; k < n; ++k)
          for (std::size_t m = 0; m < n; ++m) image[m] += static_cast<double>(u[i * n + k]) * s[slot][k * n + m];
        for (std::size_t j = 0; j <= i; ++j) {
          double form = 0;
          for (std::size_t m = 0; m < n; ++m) form += image[m] * static_cast<double>(u[j * n + m]);
          if (j < i) {
            off = std::max(off, std::fabs(form));
            continue;
          }
          falls = falls && form <= before + 1e-5 * trace;
          before = form;
        }
      }
      INFO(name << " " << slots[slot]->info().name << " " << off / trace);
      CHECK(off <= 1e-5 * trace);
      CHECK(falls);
    }
  }
}

TEST_CASE("rows that are not whole sequences are refused with the slot's name") {
  Bench b("pixart_tiny");
  if (!b.source) return;
  std::vector<Slot*> context;
  for (LinearSite* site : b.network->linear_sites())
    if (site->info().rows == SlotRows::context) context.push_back(site);
  REQUIRE(!context.empty());
  const test::FixtureItems items = b.items(true);
  try {
    measure_bases(
        whole_pass(*b.network, items), basis_plugin("klt"), tasks_of(context, items.tokens_per_item()), {},
        [](std::size_t, std::vector<float>) {}, b.monitor);
    FAIL("no error");
  } catch (const TrialError& e) {
    CHECK(std::string(e.what()).find(context[0]->info().name) != std::string::npos);
  }
}

TEST_CASE("a calibrated basis on a grid covers every token and beats no transform") {
  for (const char* name : fixtures) {
    Bench b(name);
    if (!b.source) return;
    b.spec.allocation.options = {{"high_bits", 8.0}, {"high_tokens", 8}, {"pick", "first"}};
    const test::FixtureItems items = b.items(true);
    const std::int64_t tokens = items.tokens_per_item(), width = items.grid_width();
    const auto run = [&](const std::string& transform) {
      b.spec.sequence.transform = transform;
      std::vector<SlotPlan> plans = plan_slots(*b.network, b.spec);
      std::map<std::string, std::shared_ptr<const std::vector<float>>> bases;
      if (needs_bases(b.spec)) {
        std::vector<Slot*> slots;
        for (const SlotPlan& plan : plans)
          if (plan.transformed) slots.push_back(plan.slot);
        BasisOptions options;
        options.skip = skipped_tokens(b.spec, width);
        CHECK(options.skip == 0);
        measure_bases(
            whole_pass(*b.network, items), basis_plugin(transform), tasks_of(slots, tokens), options,
            [&](std::size_t i, std::vector<float> basis) {
              bases[slots[i]->info().name] = std::make_shared<const std::vector<float>>(std::move(basis));
            },
            b.monitor);
      }
      const auto calibrated = [&](const SlotInfo& slot) {
        SequenceTransformRequest request = transform_request(b.spec, tokens, plain_gemm, width);
        request.basis = bases.at(slot.name);
        return std::shared_ptr<const SequenceTransform>(make_sequence_transform(transform, request));
      };
      set_transforms(plans, b.spec, tokens, plain_gemm,
                     needs_bases(b.spec) ? CalibratedTransform(calibrated) : CalibratedTransform(), width);
      set_bits(plans, b.spec.allocation, tokens, {});
      set_rules(plans, b.spec, tokens, plain_gemm, width);
      const InstalledQuantizers installed(plans, true);
      b.network->run(items.item(0));
      double error = 0, signal = 0;
      for (std::size_t i = 0; i < plans.size(); ++i) {
        if (!plans[i].transformed) continue;  // the text, for which there are no bases
        CHECK(installed.statistics()[i].samples == 2);
        error += installed.statistics()[i].error;
        signal += installed.statistics()[i].signal;
      }
      return error / signal;
    };
    const double klt = run("klt"), identity = run("identity");
    INFO(name << " klt " << klt << ", identity " << identity);
    CHECK(klt < identity);
  }
}

TEST_CASE("on a grid slots choose among its transforms, and the text keeps what it is") {
  for (const char* name : fixtures) {
    Bench b(name);
    if (!b.source) return;
    b.spec.sequence.transform = "per_slot";
    b.spec.sequence.options = {{"candidates", nullptr}};
    const test::FixtureItems items = b.items(true);
    const std::int64_t tokens = items.tokens_per_item(), width = items.grid_width();
    const SlotCandidates candidates = slot_candidates(b.spec, tokens, plain_gemm, width);
    CHECK(candidates.list.front().label == "identity");
    CHECK(candidates.list.back().label == "dct2d");
    std::vector<SlotPlan> plans = plan_slots(*b.network, b.spec);
    const auto first = [&](const SlotInfo&) { return candidates.transforms.front(); };
    set_transforms(plans, b.spec, tokens, plain_gemm, first, width);
    const CandidateEnergies energies =
        measure_row_energies(whole_pass(*b.network, items), plans, candidates.transforms, b.monitor);
    for (const char* kind : {"two_level", "budget"}) {
      b.spec.allocation = {kind, complete_options(allocator(kind).info, {{"high_tokens", 8}}, "allocation")};
      const auto joint = choose_transforms(plans, b.spec, tokens, candidates, energies);
      CHECK(joint.has_value() == (std::string(kind) == "budget"));
      for (const SlotPlan& plan : plans) {
        INFO(name << " " << kind << " " << plan.slot->info().name);
        CHECK(plan.chosen.empty() == (plan.slot->info().rows == SlotRows::context));
        CHECK(plan.transform->tokens() == tokens);
        CHECK(plan.bits.bits.size() == static_cast<std::size_t>(tokens));
        if (plan.chosen.empty()) CHECK(plan.transform->is_identity());
      }
      set_rules(plans, b.spec, tokens, plain_gemm, width);
      const InstalledQuantizers installed(plans, true);
      b.network->run(items.item(0));
    }
  }
}
