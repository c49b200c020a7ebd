#include "sweep/estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"
#include "results/provenance.h"

namespace stamp {

namespace {

constexpr double weight_flops = 30;  // one weight on one grid: scale, round, clamp, error to the power 2.4

bool to_run(const PlannedTrial& t) {
  return t.state == TrialState::fresh || t.state == TrialState::failed;
}

double tokens_of(const TrialSpec& s, const TrialSize& size) {
  const auto context = static_cast<double>(s.data.context);
  if (s.data.windows > 0) return context * static_cast<double>(s.data.windows);
  return size.text_tokens > context
             ? size.text_tokens - static_cast<double>(static_cast<std::int64_t>(size.text_tokens) % s.data.context)
             : context;
}

double seconds_of(const Record& r) {
  if (const auto it = r.timing_s.find("total"); it != r.timing_s.end()) return it->second;
  double sum = 0;
  for (const auto& [phase, seconds] : r.timing_s) sum += seconds;
  return sum;
}

// Tokens a record evaluated: windows actually used, else what its spec says.
double tokens_of(const Record& r) {
  double context = 0;
  if (const auto d = r.spec.find("data"); d != r.spec.end()) context = d->value("context", 0.0);
  for (const Metric& m : r.metrics)
    if (m.over == "windows" && m.n > 0) return context * static_cast<double>(m.n);
  return 0;
}

struct Measured {
  std::vector<double> seconds_per_token;
  std::vector<double> seconds_of_weights;  // of the trials that prepared some; the others found them ready
  double memory = 0;
};

std::map<std::string, Measured> measured_by_model(const ReadRecords& records) {
  std::map<std::string, Measured> out;
  for (const Record& r : records.records) {
    if (r.status != "done") continue;
    const auto m = r.spec.find("model");
    if (m == r.spec.end()) continue;
    Measured& e = out[m->value("name", "")];
    const auto prepare = r.timing_s.find("prepare");
    const double weights = prepare == r.timing_s.end() ? 0 : prepare->second;
    const double tokens = tokens_of(r), seconds = seconds_of(r) - weights;
    if (tokens > 0 && seconds > 0) e.seconds_per_token.push_back(seconds / tokens);
    if (weights > 0.1) e.seconds_of_weights.push_back(weights);
    e.memory = std::max(e.memory, static_cast<double>(r.peak_memory_bytes));
  }
  return out;
}

double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

std::string plural(std::size_t n, const std::string& one) {
  return fmt::format("{} {}{}", n, one, n == 1 ? "" : "s");
}

}  // namespace

double assumed_flops_per_second() {
  const Json hardware = hardware_provenance();
  const auto has = [&](const char* f) {
    return std::find(hardware["features"].begin(), hardware["features"].end(), f) != hardware["features"].end();
  };
  // Float32 products of a decoder reach about these on one core (measured with 512-bit vectors, halved with each
  // halving).
  const double per_core = has("avx512f") ? 80e9 : has("avx2") ? 40e9 : 10e9;
  return per_core * hardware["cores"].get<double>();
}

Estimate estimate(const Plan& plan, const ReadRecords& records, const SizeOf& size_of, double flops_per_second) {
  Estimate e;
  const std::map<std::string, Measured> measured = measured_by_model(records);
  bool all_measured = true, any = false;
  std::set<std::string> references, weights;
  for (const PlannedTrial& t : plan.trials) {
    if (!to_run(t)) continue;
    any = true;
    const TrialSize size = size_of ? size_of(t.spec) : TrialSize{};
    const double tokens = tokens_of(t.spec, size);
    const auto m = measured.find(t.spec.model.name);
    const bool timed = m != measured.end() && !m->second.seconds_per_token.empty();
    const bool prepares = weights.insert(weights_group(t)).second;
    if (timed) {
      e.seconds += tokens * median(m->second.seconds_per_token);
      if (prepares && !m->second.seconds_of_weights.empty()) e.seconds += median(m->second.seconds_of_weights);
    } else if (size.parameters > 0) {
      const double pass = 2 * size.parameters * tokens / flops_per_second;
      e.seconds += 1.3 * pass;  // quantization beside the products
      if (references.insert(t.spec.model.name + "\n" + t.spec.data.text).second) e.seconds += pass;
      const WeightSpec& w = t.spec.quantization.weights;
      const double tries = w.bits >= 16 ? 0 : w.clip_search ? 80 : 1;
      if (prepares) e.seconds += weight_flops * tries * size.parameters / flops_per_second;
      all_measured = false;
    } else {
      ++e.unknown;
      all_measured = false;
    }
    if (m != measured.end() && m->second.memory > 0)
      e.memory_bytes = std::max(e.memory_bytes, m->second.memory);
    else if (size.parameters > 0)
      e.memory_bytes = std::max(
          e.memory_bytes, 4 * (size.parameters + static_cast<double>(t.spec.data.context) * size.vocabulary) + 3e8);
  }
  e.measured = any && all_measured;
  return e;
}

std::string plan_sentence(const Plan& plan, const SharedWork& work, const Estimate& estimate) {
  const auto count = [&](TrialState s) {
    return static_cast<std::size_t>(
        std::count_if(plan.trials.begin(), plan.trials.end(), [&](const PlannedTrial& t) { return t.state == s; }));
  };
  std::vector<std::string> states;
  const std::size_t fresh = count(TrialState::fresh), failed = count(TrialState::failed);
  if (fresh) states.push_back(fmt::format("{} new", fresh));
  if (const auto n = count(TrialState::done)) states.push_back(fmt::format("{} done", n));
  if (failed) states.push_back(fmt::format("{} failed earlier", failed));
  if (const auto n = count(TrialState::missing)) states.push_back(fmt::format("{} missing", n));
  if (plan.merged) states.push_back(fmt::format("{} merged", plan.merged));
  std::string text = plural(plan.trials.size(), "trial");
  if (!states.empty()) text += ": " + join(states, ", ");

  // One number and its reasons, the reasons in order of appearance.
  const auto reasons = [&](bool refused) {
    std::vector<std::string> distinct;
    std::size_t n = 0;
    for (const ExcludedCell& x : plan.excluded) {
      if (x.refused != refused) continue;
      ++n;
      const std::string quoted = "\"" + x.because + "\"";
      if (std::find(distinct.begin(), distinct.end(), quoted) == distinct.end()) distinct.push_back(quoted);
    }
    if (n == 0) return std::string();
    if (distinct.size() > 3)
      distinct = {distinct[0], distinct[1], fmt::format("and {} other reasons", distinct.size() - 2)};
    return fmt::format("; {} {} ({})", n, refused ? "refused" : "excluded", join(distinct, ", "));
  };
  text += reasons(false) + reasons(true);

  if (fresh + failed > 0) {
    text += fmt::format("; {}, {}", plural(work.models, "model"), plural(work.calibrations, "calibration"));
    if (estimate.seconds > 0) text += "; about " + duration_text(estimate.seconds);
    if (estimate.memory_bytes > 0)
      text += fmt::format("{}{}", estimate.seconds > 0 ? ", " : "; about ",
                          bytes_text(static_cast<std::uint64_t>(estimate.memory_bytes)));
    if (estimate.unknown > 0)
      text += fmt::format(" (not counting {} of unknown size)", plural(estimate.unknown, "trial"));
  }
  return text;
}

}  // namespace stamp
