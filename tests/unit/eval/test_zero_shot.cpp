// Scores of zero-shot questions from made-up log-probabilities, against sums written out by hand.
#include <ATen/core/Tensor.h>
#include <ATen/ops/tensor.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "eval/zero_shot.h"
#include "models/task_workload.h"
#include "results/record.h"
#include "support/catch.h"

using namespace stamp;

namespace {

// Every question: one context of two ids and candidates of as many ids as `lengths` says.
EncodedQuestion question(const std::vector<int>& lengths, std::int64_t gold,
                         std::vector<std::int64_t> characters = {}) {
  EncodedQuestion q;
  q.contexts = {{1, 2}};
  for (const int n : lengths) q.candidates.push_back({0, std::vector<std::int32_t>(static_cast<std::size_t>(n), 3)});
  q.gold = gold;
  q.characters = std::move(characters);
  return q;
}

TaskWorkload workload(const std::string& task, std::vector<EncodedQuestion> questions, std::int64_t batch_rows = 2048,
                      bool leak_free = true) {
  TaskSettings s;
  s.task = task;
  s.metric = questions[0].characters.empty() ? "acc" : "acc_norm";
  s.greedy = task == "lambada";
  s.batch_rows = batch_rows;
  s.leak_free = leak_free;
  s.protocol = "protocol of " + task;
  return TaskWorkload(std::move(questions), s);
}

// Feeds log-probabilities (one a target, in order over all items) and greedy flags.
void feed(Evaluator& evaluator, const TaskWorkload& w, const std::vector<float>& values,
          const std::vector<std::int64_t>& greedy, const PassBits& bits = {}) {
  evaluator.begin(w);
  auto at = values.begin();
  auto at_greedy = greedy.begin();
  for (std::int64_t i = 0; i < w.count(); ++i) {
    const auto n = w.item(i).inputs.at("targets").size(0);
    Outputs outputs;
    outputs.named["target_logprob"] = at::tensor(std::vector<float>(at, at + n));
    outputs.named["target_greedy"] = at::tensor(std::vector<std::int64_t>(at_greedy, at_greedy + n), at::kLong);
    at += n;
    at_greedy += n;
    evaluator.observe(w.item(i), outputs);
  }
  evaluator.end(bits);
}

std::map<std::string, Metric> by_name(const std::vector<Metric>& metrics) {
  std::map<std::string, Metric> named;
  for (const Metric& m : metrics) named[m.name] = m;
  return named;
}

}  // namespace

TEST_CASE("the likeliest candidate, the first of equal ones; acc_norm divides by characters", "[zero_shot]") {
  CHECK(likeliest(std::vector<double>{-3, -1, -1}) == 1);
  CHECK(likeliest(std::vector<double>{-4, -3}, std::vector<std::int64_t>{8, 2}) == 0);
}

TEST_CASE("acc, acc_norm and the loss of the right answer", "[zero_shot]") {
  // Sums: {-3, -2}, {-1, -5}, {-4, -4.5}; by characters {-0.3, -1}, {-0.5, -0.5}, {-2, -0.5}.
  const std::vector<EncodedQuestion> questions{question({2, 1}, 0, {10, 2}), question({1, 1}, 1, {2, 10}),
                                               question({1, 3}, 1, {2, 9})};
  const std::vector<float> values{-1, -2, -2, /**/ -1, -5, /**/ -4, -1.5f, -1.5f, -1.5f};
  const std::vector<std::int64_t> greedy(values.size(), 0);
  for (const std::int64_t batch_rows : {1, 2048}) {
    const TaskWorkload w = workload("piqa", questions, batch_rows);
    const auto evaluator = ZeroShot::make({});
    feed(*evaluator, w, values, greedy, {4.25, 4.5});
    const std::vector<Metric> metrics = evaluator->finish({});
    CHECK(metrics[0].name == "zero_shot");
    const auto m = by_name(metrics);
    REQUIRE(m.size() == 4);
    CHECK(m.at("piqa_acc").items == std::vector<double>{0, 0, 0});
    CHECK(m.at("piqa_acc").value == 0);
    CHECK(m.at("piqa_acc_norm").items == std::vector<double>{1, 0, 1});
    CHECK(m.at("piqa_acc_norm").value == Approx(2.0 / 3));
    CHECK(m.at("piqa_acc_norm").n == 3);
    CHECK_FALSE(m.at("piqa_acc_norm").lower_is_better);
    CHECK(m.at("piqa_acc_norm").protocol == "protocol of piqa");
    // sqrt(p (1 - p) / (n - 1)), as lm-evaluation-harness prints it.
    REQUIRE(m.at("piqa_acc_norm").standard_error);
    CHECK(*m.at("piqa_acc_norm").standard_error == Approx(std::sqrt(2.0 / 3 * (1.0 / 3) / 2)));
    CHECK(m.at("piqa_acc_norm").activation_bits == 4.25);
    CHECK(m.at("piqa_acc_norm").kv_bits == 4.5);
    CHECK(m.at("piqa_acc_norm").leak_free);
    CHECK(m.at("piqa_gold_nll").items == std::vector<double>{3, 5, 4.5});
    CHECK(m.at("piqa_gold_nll").value == Approx(12.5 / 3));
    CHECK(m.at("piqa_gold_nll").lower_is_better);
    CHECK(m.at("zero_shot").value == Approx(2.0 / 3));
  }
}

TEST_CASE("lambada is right when every token is the likeliest; its perplexity is exp of the mean loss", "[zero_shot]") {
  const TaskWorkload w = workload("lambada", {question({2}, 0), question({2}, 0), question({1}, 0)});
  const auto evaluator = ZeroShot::make({});
  feed(*evaluator, w, {-1, -1, -0.5f, -0.5f, -3}, {1, 1, 1, 0, 1});
  const auto m = by_name(evaluator->finish({}));
  CHECK(m.at("lambada_acc").items == std::vector<double>{1, 0, 1});
  CHECK(m.at("lambada_perplexity").value == Approx(std::exp(2.0)));
  CHECK(m.count("lambada_acc_norm") == 0);
  CHECK_FALSE(m.at("lambada_acc").activation_bits);
}

TEST_CASE("the average takes acc_norm where a task has it and acc elsewhere", "[zero_shot]") {
  const TaskWorkload a = workload("piqa", {question({1, 1}, 0, {1, 1}), question({1, 1}, 0, {1, 1})}, 2048, false);
  const TaskWorkload b = workload("lambada", {question({1}, 0), question({1}, 0)});
  const auto evaluator = ZeroShot::make({});
  feed(*evaluator, a, {-1, -2, -2, -1}, {0, 0, 0, 0}, {4, 4});
  feed(*evaluator, b, {-1, -2}, {1, 1}, {5, 6});
  const auto m = by_name(evaluator->finish({}));
  CHECK(m.at("zero_shot").value == Approx(0.75));
  CHECK(m.at("zero_shot").n == 2);
  CHECK(m.at("zero_shot").over == "tasks");
  CHECK(m.at("zero_shot").activation_bits == 4.5);
  CHECK(m.at("zero_shot").kv_bits == 5.0);
  CHECK_FALSE(m.at("zero_shot").leak_free);  // one of the tasks is not
  CHECK(*m.at("zero_shot").standard_error == Approx(std::sqrt(0.25 / 1) / 2));
  CHECK(m.at("zero_shot").protocol == "piqa_acc_norm: protocol of piqa; lambada_acc: protocol of lambada");
}

TEST_CASE("a log-likelihood that is no number names the item", "[zero_shot]") {
  const TaskWorkload w = workload("piqa", {question({1, 1}, 0, {1, 1})});
  const auto evaluator = ZeroShot::make({});
  CHECK_THROWS_WITH(feed(*evaluator, w, {-1, std::numeric_limits<float>::quiet_NaN()}, {0, 0}),
                    Catch::Contains("candidate 2 of item 1 of piqa"));
  evaluator->begin(w);
  CHECK_THROWS_WITH(evaluator->observe(w.item(0), {}), Catch::Contains("this model gives none"));
}
