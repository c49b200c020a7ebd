#include "eval/slot_error.h"

#include <cmath>
#include <limits>
#include <map>

#include "base/error.h"
#include "results/record.h"
#include "support/catch.h"

using namespace stamp;

namespace {

SlotResult slot(const std::string& name, double signal, double error, double worst, const std::string& theorem = "") {
  SlotResult s;
  s.name = name;
  s.theorem = theorem;
  s.sums.samples = 2;
  s.sums.signal = signal;
  s.sums.error = error;
  s.sums.b1 = 1;
  s.sums.worst_ratio = worst;
  return s;
}

std::map<std::string, Metric> by_name(const std::vector<SlotResult>& slots) {
  std::map<std::string, Metric> out;
  for (const Metric& m : SlotError::make({"p", "windows"})->finish(slots)) out[m.name] = m;
  return out;
}

}  // namespace

TEST_CASE("slot error pools sums and averages decibels") {
  const auto m = by_name({slot("a", 100, 1, 0.5), slot("b", 300, 30, 0.25)});
  CHECK(m.at("slot_sqnr").value == Approx(10 * std::log10(400.0 / 31.0)));
  CHECK(m.at("slot_sqnr_mean").value == Approx((20 + 10) / 2.0));
  CHECK(m.at("slot_error_ratio_worst").value == 0.5);
  CHECK(m.at("slot_bound_violations").value == 0);
  CHECK(m.at("slot_sqnr").n == 2);
  CHECK(m.at("slot_sqnr").over == "slots");
  CHECK_FALSE(m.at("slot_sqnr").lower_is_better);
}

TEST_CASE("only slots where the theorem holds can violate it") {
  const auto m = by_name({slot("a", 1, 1, 1.5), slot("b", 1, 1, 0.5), slot("c", 1, 1, 1.9, "symmetric grid")});
  CHECK(m.at("slot_bound_violations").value == 0.5);
  CHECK(m.at("slot_bound_violations").n == 2);
  CHECK(m.at("slot_error_ratio_worst").value == 1.9);
}

TEST_CASE("a prediction at twice one slot's error and half of another's is off by two, not exact") {
  SlotResult a = slot("a", 100, 4, 0.5), b = slot("b", 100, 4, 0.5), old = slot("c", 100, 4, 0.5);
  a.sums.b3 = 8;
  b.sums.b3 = 2;
  a.sums.b5 = b.sums.b5 = 4;
  old.sums.b5 = std::numeric_limits<double>::quiet_NaN();  // of a record from before B5
  const auto m = by_name({a, b, old, slot("d", 5, 0, 0)});
  CHECK(m.at("slot_b3_factor").value == Approx(2));
  CHECK(m.at("slot_b3_factor").n == 2);
  CHECK(m.at("slot_b5_factor").value == Approx(1));
  CHECK(m.at("slot_b5_factor").n == 2);
  CHECK(m.at("slot_b3_factor").lower_is_better);
}

TEST_CASE("absent is absent") {
  CHECK(by_name({}).empty());
  CHECK(by_name({SlotResult{}}).empty());  // a slot that saw nothing
  const auto exact = by_name({slot("a", 5, 0, 0)});
  CHECK(exact.count("slot_sqnr") == 0);
  CHECK(exact.count("slot_sqnr_mean") == 0);
  CHECK(exact.at("slot_error_ratio_worst").value == 0);
  const auto mixed = by_name({slot("a", 5, 0, 0), slot("b", 10, 1, 0.1)});
  CHECK(mixed.at("slot_sqnr_mean").n == 1);
  CHECK(mixed.at("slot_sqnr").value == Approx(10 * std::log10(15.0)));
}

TEST_CASE("an error that is not a number ends the trial and names the slot") {
  try {
    by_name({slot("layers.0.x", 1, std::numeric_limits<double>::quiet_NaN(), 0)});
    FAIL("no error");
  } catch (const TrialError& e) {
    CHECK(e.kind() == "nan_metric");
    CHECK(std::string(e.what()).find("layers.0.x") != std::string::npos);
  }
}
