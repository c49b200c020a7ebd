#include <cmath>
#include <map>
#include <vector>

#include "base/error.h"
#include "engine/basis_pool.h"
#include "engine/slots.h"
#include "fake_model.h"
#include "support/catch.h"

using namespace stamp;

namespace {

std::unique_ptr<Network> network() {
  return test::fake_model(std::make_shared<test::FakeCounters>())->build();
}

std::vector<SlotPlan> planned(Network& n, const TrialSpec& t) {
  std::vector<SlotPlan> plans = plan_slots(n, t.quantization);
  set_transforms(plans, t.quantization, t.data.context, plain_gemm, {});
  set_bits(plans, t.quantization.allocation, t.data.context, {});
  set_rules(plans, t.quantization, t.data.context, plain_gemm);
  return plans;
}

}  // namespace

TEST_CASE("linear inputs and caches get their own grids") {
  const auto n = network();
  TrialSpec t = test::fake_trial();
  t.quantization.activations.granularity = "group";
  t.quantization.activations.group_size = 32;
  t.quantization.activations.symmetric = true;
  t.quantization.activations.clip = 0.9;
  t.quantization.kv_cache.bits = 3;
  const auto plans = planned(*n, t);
  REQUIRE(plans.size() == 3);
  CHECK(plans[0].grid.group == test::fake_width);  // narrower than a group
  CHECK(plans[1].grid.group == 32);
  CHECK(plans[1].grid.symmetric);
  CHECK(plans[1].grid.clip == 0.9);
  CHECK(plans[2].slot->info().name == "middle.key_cache");
  CHECK(plans[2].grid.group == test::fake_cache / test::fake_heads);
  CHECK_FALSE(plans[2].grid.symmetric);
  CHECK(plans[1].low_bits == 4);
  CHECK(plans[2].low_bits == 3);
  CHECK(plans[0].bits.bits[7] == 8);
  CHECK(plans[0].bits.bits[8] == 4);
  CHECK(plans[2].bits.bits[8] == 3);
  CHECK(plans[0].transform == plans[2].transform);  // one object for all
}

TEST_CASE("sixteen bits take the quantizer away") {
  const auto n = network();
  TrialSpec t = test::fake_trial();
  t.quantization.activations.bits = 16;
  REQUIRE(planned(*n, t).size() == 1);
  CHECK(planned(*n, t)[0].slot->info().kind == SlotKind::key_cache);
  t.quantization.kv_cache.bits = 16;
  CHECK(planned(*n, t).empty());
}

TEST_CASE("option B keeps the caches' tokens as they are, with the same bits") {
  const auto n = network();
  TrialSpec t = test::fake_trial();
  t.quantization.kv_cache.transformed = false;
  t.quantization.kv_cache.granularity = "token";
  const auto plans = planned(*n, t);
  CHECK_FALSE(plans[0].transform->is_identity());
  CHECK(plans[2].transform->is_identity());
  CHECK(plans[2].transform->tokens() == 64);
  CHECK(plans[2].grid.group == 0);
  CHECK(plans[2].bits.bits == plans[0].bits.bits);
}

TEST_CASE("skipped tokens stay the first rows and count among the high ones") {
  const auto n = network();
  TrialSpec t = test::fake_trial();
  t.quantization.sequence.skip_first = 2;
  const auto plans = planned(*n, t);
  const std::vector<double> l = plans[0].transform->matrix();
  for (std::size_t i = 0; i < 64; ++i)
    for (std::size_t j = 0; j < 64; ++j)
      if (i < 2 || j < 2) CHECK(l[i * 64 + j] == (i == j ? 1 : 0));
  CHECK(std::fabs(l[2 * 64 + 2] - std::pow(2.0, -1.5)) < 1e-6);  // three Haar levels
  CHECK(plans[0].bits.bits[0] == 8);
  const SequenceTransformRequest request = transform_request(t.quantization, 64, plain_gemm);
  CHECK(request.tokens == 62);
  CHECK(request.high_tokens == 6);
  t.quantization.allocation = {"uniform", Json::object()};
  CHECK(transform_request(t.quantization, 64, plain_gemm).high_tokens == 0);
  t.quantization.sequence.skip_first = 64;
  CHECK_THROWS_AS(transform_request(t.quantization, 64, plain_gemm), TrialError);
}

TEST_CASE("an allocation over all slots gives each its own share of one budget") {
  const auto n = network();
  TrialSpec t = test::fake_trial();
  t.quantization.allocation = {
      "budget", complete_options(allocator("budget").info, {{"high_tokens", 8}, {"pick", "first"}}, "allocation")};
  std::vector<SlotPlan> plans = plan_slots(*n, t.quantization);
  set_transforms(plans, t.quantization, 64, plain_gemm, {});
  std::vector<RowEnergies> energies(plans.size());
  for (std::size_t i = 0; i < plans.size(); ++i)
    for (std::size_t row = 0; row < 64; ++row) {
      // The first slot's rows are alike; those of the others fall.
      energies[i].energy.push_back(i == 0 ? 1 : std::pow(0.8, static_cast<double>(row)));
      energies[i].spread.push_back(30 * energies[i].energy.back());
    }
  const auto joint = set_bits(plans, t.quantization.allocation, 64, energies);
  REQUIRE(joint);
  CHECK(joint->exact);
  double bits = 0, values = 0;
  for (const SlotPlan& plan : plans) {
    const auto d = static_cast<double>(plan.slot->info().features);
    bits += d * plan.bits.average();
    values += d;
  }
  CHECK(bits / values <= 4.5);
  CHECK(bits / values > 4.4);
  CHECK(joint->average_bits == Approx(bits / values));
  CHECK(plans[0].bits.average() < plans[1].bits.average());
  CHECK_THROWS_AS(set_bits(plans, t.quantization.allocation, 64, {}), TrialError);
  CHECK_FALSE(set_bits(plans, test::fake_trial().quantization.allocation, 64, {}));
}

TEST_CASE("rows on a grid get the transform of their grid, and none of them is skipped") {
  const auto n = network();
  TrialSpec t = test::fake_trial();
  t.quantization.sequence.skip_first = 2;
  t.quantization.sequence.transform = "haar2d";
  t.quantization.sequence.options = {{"levels", 2}};
  std::vector<SlotPlan> plans = plan_slots(*n, t.quantization);
  set_transforms(plans, t.quantization, 64, plain_gemm, {}, 8);
  set_bits(plans, t.quantization.allocation, 64, {});
  set_rules(plans, t.quantization, 64, plain_gemm, 8);
  SequenceTransformRequest request;
  request.options = t.quantization.sequence.options;
  for (const auto& [height, width] : std::vector<std::pair<std::int64_t, std::int64_t>>{{8, 8}, {16, 4}, {8, 12}}) {
    request.tokens = height * width;
    request.grid_height = height;
    request.grid_width = width;
    const RowRule& rule = plans[0].whole->of(height * width, width);
    CHECK(rule.transform->matrix() == make_sequence_transform("haar2d", request)->matrix());
    CHECK(rule.bits.bits.size() == static_cast<std::size_t>(height * width));
  }
  CHECK(&plans[0].whole->of(64, 8) != &plans[0].whole->of(64, 4));
  CHECK_THROWS_AS(plans[0].whole->of(64, 0), TrialError);  // a plain sequence
  CHECK_THROWS_AS(plans[0].whole->of(64, 7), TrialError);  // no grid
  CHECK(plans[0].decode->of(5).transform->is_identity());

  // Transforms of sequences take the grid as one line.
  t.quantization.sequence.transform = "haar";
  CHECK(transform_request(t.quantization, 64, plain_gemm, 8).tokens == 64);
  CHECK(transform_request(t.quantization, 64, plain_gemm, 8).grid_height == 8);
  CHECK(transform_request(t.quantization, 64, plain_gemm).tokens == 62);
}

TEST_CASE("quantizers leave with their owner") {
  const auto n = network();
  const auto plans = planned(*n, test::fake_trial());
  const auto workload = test::fake_model(std::make_shared<test::FakeCounters>())->workload(test::fake_trial().data);
  const auto nll = [&] { return n->run(workload->item(0)).named.at("token_nll").clone(); };
  const at::Tensor before = nll();
  {
    const InstalledQuantizers installed(plans, true);
    CHECK_FALSE(before.equal(nll()));
    CHECK(installed.statistics().size() == 3);
    CHECK(installed.statistics()[0].samples == 1);
  }
  CHECK(before.equal(nll()));
}

TEST_CASE("a pool of transforms stays within its budget and builds no more than it must") {
  std::map<std::string, int> made;
  const auto make = [&](const std::string& slot) {
    ++made[slot];
    SequenceTransformRequest request;
    request.tokens = 4;
    return std::shared_ptr<const SequenceTransform>(make_sequence_transform("dct", request));
  };
  const auto roomy = std::make_shared<TransformPool>(make, 10, 30);
  for (int round = 0; round < 3; ++round)
    for (const char* slot : {"a", "b", "c"}) roomy->get(slot);
  CHECK(roomy->builds() == 3);
  const auto tight = std::make_shared<TransformPool>(make, 10, 25);
  for (int round = 0; round < 3; ++round)
    for (const char* slot : {"a", "b", "c"}) tight->get(slot);
  // a stays; b and c take turns in the other place.
  CHECK(tight->builds() == 1 + 2 * 3);
  const auto lent = tight->lend("a", 4);
  std::vector<float> x{1, 2, 3, 4};
  transform_forward(*lent, {x.data(), 4, 1, 1});
  CHECK(x[0] == Approx(5).epsilon(1e-6));
  CHECK(x[1] == Approx(-2.23044).epsilon(1e-5));
  transform_inverse(*lent, {x.data(), 4, 1, 1});
  CHECK(x[3] == Approx(4).epsilon(1e-6));
}

TEST_CASE("levels: auto without a number of high rows is said, with what it comes to") {
  QuantizationSpec q = test::fake_trial().quantization;
  q.sequence.options = {{"levels", nullptr}};
  CHECK(assumed_levels(q, 64, 0).empty());  // two_level names its rows
  q.allocation = {"uniform", Json::object()};
  q.sequence.skip_first = 1;
  CHECK(assumed_levels(q, 128, 0) ==
        "levels: auto assumes 64 high rows, because allocation uniform names none: 0 levels of 7, so that rows are not "
        "transformed; set levels");
  CHECK(assumed_levels(q, 129, 0) ==
        "levels: auto assumes 64 high rows, because allocation uniform names none: 1 level of 7; set levels");
  CHECK(assumed_levels(q, 0, 0) ==
        "levels: auto assumes 64 high rows, because allocation uniform names none: texts of fewer than 129 tokens are "
        "not transformed");
  q.sequence.options = test::haar_options(3);
  CHECK(assumed_levels(q, 128, 0).empty());
  q.sequence = {"dct", 1, Json::object()};
  CHECK(assumed_levels(q, 128, 0).empty());
}
