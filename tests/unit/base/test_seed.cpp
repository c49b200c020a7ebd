#include <cmath>
#include <set>

#include "base/seed.h"
#include "base/sha256.h"
#include "support/catch.h"

using namespace stamp;

TEST_CASE("the first random words are pinned, so that a change of stream is a decision", "[seed]") {
  RandomStream a(0, "calibration");
  RandomStream b(1, "quarot.residual", 3);
  CHECK(a.bits() == 0x7BCD94C19CD6B88Bu);
  CHECK(b.bits() == 0xB8030DD6A674C87Du);
}

TEST_CASE("streams of other seed, purpose or index differ", "[seed]") {
  std::set<std::uint64_t> first;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    for (const char* purpose : {"a", "b", "ab"}) {
      for (std::uint64_t index = 0; index < 4; ++index) first.insert(RandomStream(seed, purpose, index).bits());
    }
  }
  CHECK(first.size() == 4 * 3 * 4);
}

TEST_CASE("normal() has mean 0 and variance 1 within 5 standard errors", "[seed]") {
  RandomStream stream(7, "moments");
  const int n = 200000;
  double sum = 0, squares = 0;
  for (int i = 0; i < n; ++i) {
    const double x = stream.normal();
    sum += x;
    squares += x * x;
  }
  CHECK(std::abs(sum / n) < 5 / std::sqrt(n));
  CHECK(std::abs(squares / n - 1) < 5 * std::sqrt(2.0 / n));
}

TEST_CASE("a permutation holds every index once and below() stays below", "[seed]") {
  const auto order = permutation(1000, 5, "order");
  CHECK(std::set<std::int64_t>(order.begin(), order.end()).size() == 1000);
  CHECK(permutation(0, 5, "order").empty());
  CHECK(permutation(1, 5, "order") == std::vector<std::int64_t>{0});
  RandomStream stream(1, "below");
  for (int i = 0; i < 1000; ++i) CHECK(stream.below(7) < 7);
  CHECK(stream.below(1) == 0);
}

TEST_CASE("SHA-256 of the FIPS 180-4 examples", "[digest]") {
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}
