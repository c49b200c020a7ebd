#include "engine/calibration.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "engine/slot_bases.h"
#include "fake_model.h"
#include "support/catch.h"
#include "transforms/haar_packets.h"

using namespace stamp;

namespace {

struct Bench {
  std::unique_ptr<Log> log = null_log();
  Progress progress;
  Monitor monitor{*log, progress};
  std::unique_ptr<Model> model = test::fake_model(std::make_shared<test::FakeCounters>());
  std::unique_ptr<Network> network = model->build();
  std::unique_ptr<Workload> items = model->workload(test::fake_trial().calibration);

  // Activations of the first site, which are the items themselves.
  std::vector<std::vector<float>> inputs() const {
    std::vector<std::vector<float>> list;
    for (std::int64_t i = 0; i < items->count(); ++i) {
      const at::Tensor x = items->item(i).inputs.at("x");
      list.emplace_back(x.const_data_ptr<float>(), x.const_data_ptr<float>() + x.numel());
    }
    return list;
  }
};

std::vector<BasisTask> tasks_of(const std::vector<Slot*>& slots, std::int64_t tokens,
                                const Json& options = Json::object()) {
  std::vector<BasisTask> tasks;
  for (Slot* slot : slots) {
    BasisRequest request;
    request.tokens = tokens;
    request.high_tokens = 7;
    request.options = options;
    tasks.push_back({slot, request});
  }
  return tasks;
}

}  // namespace

TEST_CASE("channel maxima are the largest absolute values over all tokens and items") {
  Bench b;
  const ChannelMaxima maxima = measure_channel_maxima(*b.network, *b.items, b.monitor);
  REQUIRE(maxima.size() == 2);  // linear sites only
  std::vector<float> expected(test::fake_width, 0.0f);
  for (const auto& x : b.inputs())
    for (std::size_t i = 0; i < x.size(); ++i)
      expected[i % test::fake_width] = std::max(expected[i % test::fake_width], std::fabs(x[i]));
  CHECK(maxima.at("first.input") == expected);
  CHECK(maxima.at("second.input").size() == test::fake_hidden);
}

TEST_CASE("row energies are those of the dense transform") {
  Bench b;
  const TrialSpec t = test::fake_trial();
  std::vector<SlotPlan> plans = plan_slots(*b.network, t.quantization);
  set_transforms(plans, t.quantization, 64, plain_gemm, {});
  const auto energies = measure_row_energies(whole_pass(*b.network, *b.items), plans, b.monitor);
  REQUIRE(energies.size() == 3);
  const std::vector<double> l = plans[0].transform->matrix();
  std::vector<double> energy(64, 0.0), spread(64, 0.0);
  const auto inputs = b.inputs();
  for (const auto& x : inputs)
    for (std::size_t row = 0; row < 64; ++row) {
      double low = 0, high = 0, sum = 0;
      for (std::size_t j = 0; j < test::fake_width; ++j) {
        double v = 0;
        for (std::size_t k = 0; k < 64; ++k) v += l[row * 64 + k] * static_cast<double>(x[k * test::fake_width + j]);
        sum += v * v;
        low = std::min(low, v);
        high = std::max(high, v);
      }
      energy[row] += sum / 3;
      spread[row] += test::fake_width * (high - low) * (high - low) / 3;
    }
  for (std::size_t row = 0; row < 64; ++row) {
    CHECK(energies[0].energy[row] == Approx(energy[row]).epsilon(1e-5));
    CHECK(energies[0].spread[row] == Approx(spread[row]).epsilon(1e-5));
  }
}

TEST_CASE("calibration on items of another length is refused in words") {
  Bench b;
  TrialSpec t = test::fake_trial();
  std::vector<SlotPlan> plans = plan_slots(*b.network, t.quantization);
  set_transforms(plans, t.quantization, 32, plain_gemm, {});
  CHECK_THROWS_AS(measure_row_energies(whole_pass(*b.network, *b.items), plans, b.monitor), TrialError);
}

TEST_CASE("eigenbasis of a matrix whose eigenvectors are known") {
  // Rotation by 30 degrees of diag(1, 9): the larger eigenvalue belongs to (-sin, cos), whose largest entry is made
  // positive.
  const double c = std::sqrt(3.0) / 2, s = 0.5;
  const auto basis = eigenbasis({c * c + 9 * s * s, c * s - 9 * c * s, c * s - 9 * c * s, s * s + 9 * c * c}, 2);
  CHECK(basis[0] == Approx(-s).epsilon(1e-6));
  CHECK(basis[1] == Approx(c).epsilon(1e-6));
  CHECK(basis[2] == Approx(c).epsilon(1e-6));
  CHECK(basis[3] == Approx(s).epsilon(1e-6));
}

TEST_CASE("bases are orthonormal, diagonalise the correlation, and do not depend on the number of passes") {
  Bench b;
  const auto slots = all_slots(*b.network);
  BasisOptions options;
  options.skip = 1;
  const auto measure = [&](std::uint64_t budget) {
    options.budget_bytes = budget;
    std::vector<std::vector<float>> kept(slots.size());
    measure_bases(
        whole_pass(*b.network, *b.items), basis_plugin("klt"), tasks_of(slots, 63), options,
        [&](std::size_t i, std::vector<float> v) { kept[i] = std::move(v); }, b.monitor);
    return kept;
  };
  const auto one_pass = measure(1 << 20);
  CHECK(measure(1) == one_pass);  // a pass for every slot

  const std::size_t n = 63;
  std::vector<double> s(n * n, 0.0);
  for (const auto& x : b.inputs())
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j)
        for (std::size_t k = 0; k < test::fake_width; ++k)
          s[i * n + j] += static_cast<double>(x[(i + 1) * test::fake_width + k]) *
                          static_cast<double>(x[(j + 1) * test::fake_width + k]) / 3;
  const auto& u = one_pass[0];
  double trace = 0;
  for (std::size_t i = 0; i < n; ++i) trace += s[i * n + i];
  double previous = trace;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      double dot = 0, form = 0;
      for (std::size_t k = 0; k < n; ++k) {
        dot += static_cast<double>(u[i * n + k]) * static_cast<double>(u[j * n + k]);
        for (std::size_t m = 0; m < n; ++m)
          form += static_cast<double>(u[i * n + k]) * s[k * n + m] * static_cast<double>(u[j * n + m]);
      }
      // float32 sums of 63 products; the form is compared with the whole energy.
      if (std::fabs(dot - (i == j ? 1 : 0)) > 1e-5) FAIL("rows " << i << " and " << j << ": " << dot);
      if (i != j && std::fabs(form) > 1e-5 * trace) FAIL("off the diagonal " << i << ", " << j << ": " << form);
      if (i == j) {
        if (form > previous + 1e-5 * trace) FAIL("eigenvalue " << i << " is larger than the one before");
        previous = form;
      }
    }
  SUCCEED();
}

TEST_CASE("packet bases are those of the energies of the rows behind the skipped ones, in one pass or in many") {
  Bench b;
  const auto slots = all_slots(*b.network);
  BasisOptions options;
  options.skip = 1;
  for (const char* cost : {"two_level", "log_energy"}) {
    const auto measure = [&](std::uint64_t budget) {
      options.budget_bytes = budget;
      std::vector<std::vector<float>> kept(slots.size());
      measure_bases(
          whole_pass(*b.network, *b.items), basis_plugin("haar_packets"),
          tasks_of(slots, 63, {{"levels", 4}, {"cost", cost}}), options,
          [&](std::size_t i, std::vector<float> v) { kept[i] = std::move(v); }, b.monitor);
      return kept;
    };
    const auto one_pass = measure(1 << 20);
    CHECK(measure(1) == one_pass);
    PacketEnergies energies(63, 4);
    for (const auto& x : b.inputs())
      energies.add({x.data() + test::fake_width, 63, test::fake_width, test::fake_width});
    CHECK(one_pass[0] == floats_of(std::string(cost) == "two_level" ? best_packets_for_two_levels(energies, 7, 4, 8)
                                                                    : best_packets_by_log(energies)));
    for (const auto& basis : one_pass) CHECK(basis.size() == basis_plugin("haar_packets").floats(63));
  }
  CHECK_THROWS_WITH(
      measure_bases(
          whole_pass(*b.network, *b.items), basis_plugin("haar_packets"), tasks_of(slots, 63, {{"levels", 7}}), options,
          [](std::size_t, std::vector<float>) {}, b.monitor),
      Catch::Contains("at most 6"));
  CHECK_THROWS_AS(basis_plugin("dct"), TrialError);
}

TEST_CASE("observers leave after a pass, also after a failure") {
  Bench b;
  const auto slots = all_slots(*b.network);
  int seen = 0;
  observe_items(
      whole_pass(*b.network, *b.items), slots, [&](std::size_t, ConstMatrixView) { ++seen; }, b.monitor);
  CHECK(seen == 9);
  CHECK_THROWS_AS(observe_items(
                      whole_pass(*b.network, *b.items), slots,
                      [&](std::size_t, ConstMatrixView) { throw TrialError("x", "y"); }, b.monitor),
                  TrialError);
  b.network->run(b.items->item(0));
  CHECK(seen == 9);
}
