#include <cmath>
#include <limits>

#include "base/error.h"
#include "decoding/sampler.h"
#include "support/catch.h"
#include "unit/decoding/golden.h"

using namespace stamp;

TEST_CASE("probabilities after temperature, top-k and top-p are those of transformers") {
  const Json golden = test::generate_golden().at("sampling");
  const auto logits = golden.at("logits").get<std::vector<float>>();
  REQUIRE(golden.at("cases").size() >= 7);
  for (const Json& c : golden.at("cases")) {
    TokenSampling s;
    s.temperature = c.at("temperature");
    s.top_k = c.at("top_k");
    s.top_p = c.at("top_p");
    CAPTURE(s.temperature, s.top_k, s.top_p);
    const auto expected = c.at("probabilities").get<std::vector<double>>();
    const std::vector<double> ours = probabilities(logits, s);
    REQUIRE(ours.size() == expected.size());
    for (std::size_t i = 0; i < ours.size(); ++i) {
      CHECK((ours[i] == 0) == (expected[i] == 0));
      CHECK(ours[i] == Approx(expected[i]).epsilon(1e-6));  // theirs divides by the temperature in float32
    }
  }
}

TEST_CASE("greedy takes the first of the largest, draws follow seed and step only") {
  const std::vector<float> logits = {0, 3, -1, 3, 2};
  CHECK(next_token(logits, {}, 0) == 1);
  TokenSampling s;
  s.temperature = 1;
  s.seed = 5;
  CHECK(next_token(logits, s, 3) == next_token(logits, s, 3));
  s.top_k = 1;  // both of the largest
  bool first = false, second = false;
  for (std::uint64_t i = 0; i < 64; ++i) {
    const std::int64_t id = next_token(logits, s, i);
    CHECK((id == 1 || id == 3));
    first = first || id == 1;
    second = second || id == 3;
  }
  CHECK((first && second));
}

TEST_CASE("draws come as often as their probability says") {
  const std::vector<float> logits = {0, 1, 2};
  TokenSampling s;
  s.temperature = 1;
  const std::vector<double> p = probabilities(logits, s);
  std::vector<double> count(3, 0);
  constexpr int draws = 4000;
  for (std::uint64_t i = 0; i < draws; ++i) ++count[static_cast<std::size_t>(next_token(logits, s, i))];
  // Five deviations of a binomial share.
  for (std::size_t i = 0; i < 3; ++i)
    CHECK(std::abs(count[i] / draws - p[i]) < 5 * std::sqrt(p[i] * (1 - p[i]) / draws));
}

TEST_CASE("logits that are not numbers end the trial") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  CHECK_THROWS_AS(likeliest(std::vector<float>{0, nan, 5}), TrialError);
  CHECK_THROWS_AS(likeliest(std::vector<float>{nan, 5}), TrialError);
  CHECK_THROWS_AS(likeliest(std::vector<float>{0, infinity}), TrialError);
  CHECK(likeliest(std::vector<float>{-infinity, 1}) == 1);
}
