#include <cmath>

#include "fixture.h"
#include "report/compare.h"
#include "support/catch.h"

using namespace stamp;
using namespace stamp::test;

TEST_CASE("paired intervals against a computation with SciPy") {
  // scipy.stats.ttest_rel(b, a).confidence_interval(0.95), SciPy 1.17.1
  const PairedInterval p = paired_interval({1, 2, 3, 4}, {1.1, 2.5, 3.2, 4.4});
  CHECK(p.mean == Approx(0.3));
  CHECK(std::fabs(*p.low - 0.009483728424523663) < 1e-6);
  CHECK(std::fabs(*p.high - 0.5905162715754766) < 1e-6);
  CHECK_FALSE(paired_interval({1}, {2}).low.has_value());
  CHECK(paired_interval({1}, {2}).mean == 1);
}

TEST_CASE("quantiles of Student's t, two-sided 95%") {
  // scipy.stats.t.ppf(0.975, n), SciPy 1.17.1
  for (const auto& [n, t] : std::vector<std::pair<std::size_t, double>>{{1, 12.706205},
                                                                        {2, 4.302653},
                                                                        {5, 2.570582},
                                                                        {10, 2.228139},
                                                                        {11, 2.200985},
                                                                        {15, 2.131450},
                                                                        {30, 2.042272},
                                                                        {140, 1.977054},
                                                                        {1000, 1.962339}}) {
    CAPTURE(n);
    CHECK(std::fabs(student_t_975(n) - t) < 1e-5);
  }
}

TEST_CASE("trials pair up by their settings, apart from what the runs differ in as a whole") {
  std::vector<Record> a{done("a1", "rtn", "identity", 10), done("a2", "rtn", "haar", 8),
                        done("a3", "quarot", "haar", 5)};
  std::vector<Record> b{done("b2", "rtn", "haar", 9), done("b1", "rtn", "identity", 10),
                        done("b4", "quarot", "dct", 4)};
  for (Record& r : a) r.spec["data"]["windows"] = 4;
  for (Record& r : b) r.spec["data"]["windows"] = 8;
  a[1].metrics[0].items = {2.0, 2.2, 2.1, 1.9};
  b[0].metrics[0].items = {2.1, 2.3, 2.2, 2.0};
  const Comparison c = compare(a, b);
  REQUIRE(c.whole.size() == 1);
  CHECK(c.whole[0].path == "data.windows");
  REQUIRE(c.pairs.size() == 2);
  CHECK(c.pairs[0].b == "b1");
  CHECK(c.pairs[1].b == "b2");
  REQUIRE(c.pairs[1].metrics[0].mean.has_value());
  CHECK(*c.pairs[1].metrics[0].mean == Approx(0.1));
  CHECK(*c.pairs[1].metrics[0].low == Approx(0.1));  // every pair differs by the same
  REQUIRE(c.only_a.size() == 1);
  CHECK(c.only_a[0].find("a3") == 0);
  CHECK(c.only_b[0].find("dct") != std::string::npos);
  const std::string text = comparison_text(c, "A", "B");
  CHECK(text.find("data.windows: 4 | 8") != std::string::npos);
  CHECK(text.find("equal") != std::string::npos);
}

TEST_CASE("metrics of different protocols are not subtracted; failed trials stay alone; two trials always pair") {
  Record a = done("a", "rtn", "identity", 10), b = done("b", "quarot", "haar", 9);
  b.metrics[0].protocol = "other";
  const Comparison c = compare({a}, {b});
  REQUIRE(c.pairs.size() == 1);
  CHECK(c.pairs[0].settings.size() == 2);
  CHECK_FALSE(c.pairs[0].metrics[0].refused.empty());
  CHECK(c.pairs[0].metrics[1].refused.empty());
  b.status = "failed";
  CHECK(compare({a}, {b}).pairs.empty());
}

TEST_CASE("unmatched trials are told apart by names that only one setting has") {
  std::vector<Record> a{done("a1", "rtn", "identity", 10), done("a2", "smoothquant", "identity", 8)};
  std::vector<Record> b{done("b1", "quarot", "identity", 9), done("b2", "quarot", "haar", 9)};
  a[1].spec["calibration"] = {{"context", 64}};
  const Comparison c = compare(a, b);
  REQUIRE(c.only_a.size() == 2);
  CHECK(c.only_a[0] == "a1 (method=rtn)");
  CHECK(c.only_a[1] == "a2 (calibration.context=64, method=smoothquant)");
}

TEST_CASE("metrics on one side alone are named, and differences of items have their unit") {
  Record a = done("a", "rtn", "identity", 10), b = done("b", "rtn", "haar", 9);
  a.metrics[0].items = {2.0, 2.2};
  b.metrics[0].items = {1.9, 2.0};
  a.metrics.push_back(metric("slot_sqnr", 20));
  b.metrics.push_back(metric("leak", 0.1));
  const Comparison c = compare({a}, {b});
  CHECK(c.pairs[0].only_a == std::vector<std::string>{"slot_sqnr"});
  CHECK(c.pairs[0].only_b == std::vector<std::string>{"leak"});
  const std::string text = comparison_text(c, "A", "B");
  CHECK(text.find("; per item -0.1500 nats per token [") != std::string::npos);
  CHECK(text.find("\n  only in A: slot_sqnr\n  only in B: leak\n") != std::string::npos);
}
