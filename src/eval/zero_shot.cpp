#include "eval/zero_shot.h"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "eval/interval.h"
#include "models/task_workload.h"
#include "results/record.h"

namespace stamp {
namespace {

// Per-item values of a metric beyond these are not kept: a record stays readable, and a paired comparison of 20000
// items needs no more.
constexpr std::size_t most_items = 20000;

struct Candidate {
  double log_likelihood = 0;
  bool greedy = false;  // every id is the likeliest one
  bool seen = false;
};

// One task while its items pass.
struct TaskScores {
  const TaskWorkload* workload = nullptr;
  std::vector<std::vector<Candidate>> questions;
  PassBits bits;
};

// sqrt(p (1 - p) / (n - 1)) for values of 0 and 1; nothing for fewer than two.
std::optional<double> standard_error(const std::vector<double>& values) {
  if (values.size() < 2) return std::nullopt;
  const double mean = mean_of(values), n = static_cast<double>(values.size());
  double squares = 0;
  for (const double v : values) squares += (v - mean) * (v - mean);
  return std::sqrt(squares / (n - 1) / n);
}

Metric mean_metric(const TaskScores& task, const std::string& suffix, std::vector<double> values) {
  Metric m;
  m.name = task.workload->settings().task + "_" + suffix;
  m.value = mean_of(values);
  m.over = "items";
  m.n = static_cast<std::int64_t>(values.size());
  m.protocol = task.workload->protocol();
  m.lower_is_better = false;
  m.standard_error = standard_error(values);
  if (const auto interval = mean_interval(values)) {
    m.low = interval->low;
    m.high = interval->high;
  }
  m.activation_bits = task.bits.activations;
  m.kv_bits = task.bits.caches;
  m.leak_free = task.workload->settings().leak_free;
  if (values.size() > most_items) values.resize(most_items);
  m.items = std::move(values);
  return m;
}

double four_digits(double value) {
  return std::round(value * 1e4) / 1e4;
}

// Of one task: acc, acc_norm where it has one, the loss of the right answer, lambada's perplexity.
std::vector<Metric> metrics_of(const TaskScores& task) {
  const TaskSettings& settings = task.workload->settings();
  const bool normalized = settings.metric == "acc_norm";
  std::vector<double> right, right_normalized, losses;
  for (std::size_t q = 0; q < task.questions.size(); ++q) {
    const EncodedQuestion& question = task.workload->questions()[q];
    std::vector<double> values;
    for (const Candidate& c : task.questions[q]) {
      if (!c.seen) throw std::logic_error("zero_shot: a candidate of " + settings.task + " was not scored");
      values.push_back(c.log_likelihood);
    }
    const auto gold = static_cast<std::size_t>(question.gold);
    right.push_back(settings.greedy ? task.questions[q][gold].greedy : likeliest(values) == question.gold);
    if (normalized) right_normalized.push_back(likeliest(values, question.characters) == question.gold);
    losses.push_back(-values[gold]);
  }
  std::vector<Metric> metrics{mean_metric(task, "acc", std::move(right))};
  if (normalized) metrics.push_back(mean_metric(task, "acc_norm", std::move(right_normalized)));
  Metric loss = mean_metric(task, "gold_nll", std::move(losses));
  loss.unit = "nats";
  loss.lower_is_better = true;
  if (settings.greedy) {  // exp is monotone: the interval of the mean carries over
    Metric perplexity = loss;
    perplexity.name = settings.task + "_perplexity";
    perplexity.unit = "";
    perplexity.value = std::exp(loss.value);
    perplexity.standard_error.reset();
    perplexity.items.clear();
    if (loss.low && loss.high) {
      perplexity.low = std::exp(*loss.low);
      perplexity.high = std::exp(*loss.high);
    }
    if (std::isfinite(perplexity.value)) metrics.push_back(std::move(perplexity));
  }
  // Float32 sums of log-probabilities hold no more than four digits behind the point, and records are long.
  for (double& item : loss.items) item = four_digits(item);
  metrics.push_back(std::move(loss));
  return metrics;
}

// Unweighted mean over tasks of what stands for each of them, as quantization papers report it.
Metric average(const std::vector<Metric>& parts) {
  Metric m;
  m.name = "zero_shot";
  m.over = "tasks";
  m.n = static_cast<std::int64_t>(parts.size());
  m.lower_is_better = false;
  m.leak_free = true;
  double variance = 0, activations = 0, caches = 0;
  bool errors = true, quantized = true, cached = true;
  for (const Metric& part : parts) {
    m.value += part.value / static_cast<double>(parts.size());
    errors = errors && part.standard_error;
    variance += part.standard_error ? *part.standard_error * *part.standard_error : 0;
    quantized = quantized && part.activation_bits;
    activations += part.activation_bits.value_or(0) / static_cast<double>(parts.size());
    cached = cached && part.kv_bits;
    caches += part.kv_bits.value_or(0) / static_cast<double>(parts.size());
    m.leak_free = m.leak_free && part.leak_free;
    m.protocol += (m.protocol.empty() ? "" : "; ") + part.name + ": " + part.protocol;
  }
  if (errors) {
    constexpr double normal_975 = 1.959963984540054;  // tasks are independent samples of many items each
    m.standard_error = std::sqrt(variance) / static_cast<double>(parts.size());
    m.low = m.value - normal_975 * *m.standard_error;
    m.high = m.value + normal_975 * *m.standard_error;
  }
  if (quantized) m.activation_bits = activations;
  if (cached) m.kv_bits = caches;
  return m;
}

class ZeroShotEvaluator : public Evaluator {
 public:
  void begin(const Workload& workload) override {
    TaskScores task;
    task.workload = dynamic_cast<const TaskWorkload*>(&workload);
    if (!task.workload) throw std::logic_error("zero_shot reads questions, not " + workload.protocol());
    for (const EncodedQuestion& q : task.workload->questions()) task.questions.emplace_back(q.candidates.size());
    tasks_.push_back(std::move(task));
  }

  void observe(const WorkItem& item, const Outputs& outputs) override {
    TaskScores& task = tasks_.back();
    const auto log_probabilities = outputs.named.find("target_logprob"), greedy = outputs.named.find("target_greedy");
    if (log_probabilities == outputs.named.end() || greedy == outputs.named.end())
      throw TrialError("unsupported", "zero_shot needs the log-probabilities of targets; this model gives none");
    const at::Tensor p = log_probabilities->second.contiguous(), g = greedy->second.contiguous();
    const float* values = p.const_data_ptr<float>();
    const std::int64_t* likeliest_ones = g.const_data_ptr<std::int64_t>();
    for (const ScoredSpan& span : task.workload->spans(item.index)) {
      Candidate& c = task.questions[static_cast<std::size_t>(span.question)][static_cast<std::size_t>(span.candidate)];
      c.seen = c.greedy = true;
      for (std::int64_t t = span.first; t < span.first + span.count; ++t) {
        c.log_likelihood += static_cast<double>(values[t]);
        c.greedy = c.greedy && likeliest_ones[t] != 0;
      }
      if (!std::isfinite(c.log_likelihood))
        throw TrialError(
            "nan_metric",
            fmt::format("zero_shot: the log-likelihood of candidate {} of item {} of {} is {}", span.candidate + 1,
                        span.question + 1, task.workload->settings().task, c.log_likelihood));
    }
  }

  void end(const PassBits& bits) override { tasks_.back().bits = bits; }

  std::vector<Metric> finish(const std::vector<SlotResult>&) override {
    std::vector<Metric> metrics, parts;
    for (const TaskScores& task : tasks_) {
      for (Metric& m : metrics_of(task)) {
        if (m.name == task.workload->settings().task + "_" + task.workload->settings().metric) parts.push_back(m);
        metrics.push_back(std::move(m));
      }
    }
    if (!parts.empty()) metrics.insert(metrics.begin(), average(parts));
    return metrics;
  }

 private:
  std::vector<TaskScores> tasks_;
};

}  // namespace

std::int64_t likeliest(std::span<const double> log_likelihoods) {
  return std::max_element(log_likelihoods.begin(), log_likelihoods.end()) - log_likelihoods.begin();
}

std::int64_t likeliest(std::span<const double> log_likelihoods, std::span<const std::int64_t> characters) {
  std::vector<double> scaled;
  for (std::size_t i = 0; i < log_likelihoods.size(); ++i)
    scaled.push_back(log_likelihoods[i] / static_cast<double>(characters[i]));
  return likeliest(scaled);
}

std::unique_ptr<Evaluator> ZeroShot::make(const EvaluatorContext&) {
  return std::make_unique<ZeroShotEvaluator>();
}

}  // namespace stamp
