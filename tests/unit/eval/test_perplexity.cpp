#include <ATen/core/Tensor.h>
#include <ATen/ops/tensor.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"
#include "eval/perplexity.h"
#include "models/network.h"
#include "results/record.h"
#include "support/catch.h"

using namespace stamp;

namespace {

Outputs losses(const std::vector<float>& values) {
  Outputs out;
  out.named["token_nll"] = at::tensor(values);
  return out;
}

std::vector<Metric> metrics_of(const std::vector<std::vector<float>>& windows) {
  const auto evaluator = Perplexity::make({"context 3, 2 windows", "windows"});
  std::int64_t index = 0;
  for (const auto& w : windows) {
    WorkItem item;
    item.index = index++;
    evaluator->observe(item, losses(w));
  }
  return evaluator->finish({});
}

}  // namespace

TEST_CASE("perplexity is exp of the mean of window means") {
  // Windows of unequal length: the mean of means (2.5), not of all tokens (2.75).
  const auto m = metrics_of({{1, 2}, {3, 4, 3, 4}});
  REQUIRE(m.size() == 2);
  CHECK(m[0].name == "perplexity");
  CHECK(m[0].value == Approx(std::exp(2.5)).epsilon(1e-12));
  CHECK(m[0].n == 2);
  CHECK(m[0].over == "windows");
  CHECK(m[0].protocol == "context 3, 2 windows");
  CHECK(m[0].lower_is_better);
  CHECK(m[0].items == std::vector<double>{1.5, 3.5});
  CHECK(m[1].name == "nll");
  CHECK(m[1].unit == "nats");
  CHECK(m[1].value == Approx(2.5).epsilon(1e-12));
  // t(0.975, 1) = 12.7062 times the standard error 1.
  REQUIRE(m[1].low);
  CHECK(*m[1].low == Approx(2.5 - 12.706204736).epsilon(1e-9));
  CHECK(*m[0].high == Approx(std::exp(2.5 + 12.706204736)).epsilon(1e-9));
}

TEST_CASE("one window has no interval, no window no metric") {
  const auto one = metrics_of({{1, 3}});
  REQUIRE(one.size() == 2);
  CHECK(one[0].value == Approx(std::exp(2.0)));
  CHECK_FALSE(one[0].low);
  CHECK_FALSE(one[0].high);
  CHECK(metrics_of({}).empty());
}

TEST_CASE("losses that are not numbers end the trial") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  for (const auto& windows : {std::vector<std::vector<float>>{{1, nan}}, {{1, 2}, {inf, 2}}, {{}}, {{1000, 1000}}}) {
    try {
      metrics_of(windows);
      FAIL("no error");
    } catch (const TrialError& e) {
      CHECK(e.kind() == "nan_metric");
    }
  }
}

TEST_CASE("a model without token losses is refused") {
  const auto evaluator = Perplexity::make({});
  CHECK_THROWS_AS(evaluator->observe(WorkItem{}, Outputs{}), TrialError);
}
