#include "models/kernels/token_loss.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "support/catch.h"

using namespace stamp;

TEST_CASE("token losses are log-sum-exp minus the target's logit") {
  std::mt19937 generator(5);
  std::normal_distribution<float> normal(0, 8);
  for (const std::int64_t vocabulary : {1, 2, 16, 97, 1025, 49152}) {
    constexpr std::int64_t rows = 5;
    std::vector<float> logits(static_cast<std::size_t>(rows * vocabulary));
    for (float& x : logits) x = normal(generator) + 20;
    std::vector<std::int64_t> targets;
    for (std::int64_t i = 0; i < rows; ++i) targets.push_back(i * 7 % vocabulary);
    std::vector<float> out(rows);
    token_losses({logits.data(), rows, vocabulary, vocabulary}, targets.data(), out.data());
    for (std::int64_t i = 0; i < rows; ++i) {
      const float* row = logits.data() + i * vocabulary;
      double top = -1e300, total = 0;
      for (std::int64_t j = 0; j < vocabulary; ++j) top = std::max(top, static_cast<double>(row[j]));
      for (std::int64_t j = 0; j < vocabulary; ++j) total += std::exp(static_cast<double>(row[j]) - top);
      const double expected = std::log(total) + top - static_cast<double>(row[targets[static_cast<std::size_t>(i)]]);
      INFO(vocabulary << " row " << i);
      // The sum is right to 1e-6 (exponentials 2e-7, arguments up to 100 in log2 units rounded once); the result is
      // float32.
      CHECK(std::abs(static_cast<double>(out[static_cast<std::size_t>(i)]) - expected) <=
            1e-6 + 1e-7 * std::abs(expected));
    }
  }
}

TEST_CASE("a row with NaN or infinity does not give a number") {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> logits(40, 1.0f);
    logits[33] = bad;
    const std::int64_t target = 0;
    float out = 0;
    token_losses({logits.data(), 1, 40, 40}, &target, &out);
    CHECK_FALSE(std::isfinite(out));
  }
}

TEST_CASE("a row in pieces of the vocabulary has the loss and the likeliest token of the whole row") {
  std::mt19937 generator(11);
  std::normal_distribution<float> normal(0, 6);
  constexpr std::int64_t rows = 9, vocabulary = 2000;
  std::vector<float> logits(rows * vocabulary);
  for (float& x : logits) x = normal(generator) - 30;
  logits[3 * vocabulary + 700] = logits[3 * vocabulary + 1900] = 50;  // the first of equals counts
  const float none = -std::numeric_limits<float>::infinity();
  for (std::int64_t j = 0; j < 1024; ++j) logits[4 * vocabulary + j] = none;  // a piece without any mass
  std::vector<std::int64_t> targets{0, 511, 512, 700, 1999, 1023, 1024, 77, 1500};
  std::vector<float> whole(rows);
  token_losses({logits.data(), rows, vocabulary, vocabulary}, targets.data(), whole.data());
  std::vector<std::int64_t> greedy(rows);
  for (std::size_t i = 0; i < rows; ++i) {
    const float* row = logits.data() + i * vocabulary;
    greedy[i] = std::max_element(row, row + vocabulary) == row + targets[i] ? 1 : 0;
  }
  for (const std::int64_t piece : {vocabulary, std::int64_t{512}, std::int64_t{33}, std::int64_t{1}}) {
    std::vector<RunningLoss> losses(rows);
    for (std::int64_t first = 0; first < vocabulary; first += piece) {
      const std::int64_t n = std::min(piece, vocabulary - first);
      add_logits({logits.data() + first, rows, n, vocabulary}, first, targets.data(), losses.data());
    }
    for (std::size_t i = 0; i < rows; ++i) {
      INFO(piece << " row " << i);
      const float value = losses[i].value();
      if (piece == vocabulary)
        CHECK(value == whole[i]);
      else  // sums of up to 2000 terms in another order, in double; exponentials of other shifts, 2e-7 each
        CHECK(value == Approx(whole[i]).epsilon(1e-6).margin(1e-6));
      CHECK((losses[i].likeliest == targets[i]) == (greedy[i] == 1));
    }
  }
}

TEST_CASE("NaN or infinity in any piece does not give a number") {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    for (const std::size_t place : {std::size_t{3}, std::size_t{33}}) {
      std::vector<float> logits(40, 1.0f);
      logits[place] = bad;
      const std::int64_t target = 0;
      RunningLoss loss;
      add_logits({logits.data(), 1, 20, 20}, 0, &target, &loss);
      add_logits({logits.data() + 20, 1, 20, 20}, 20, &target, &loss);
      CHECK_FALSE(std::isfinite(loss.value()));
    }
}
