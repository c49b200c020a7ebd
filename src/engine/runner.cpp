#include "engine/runner.h"

#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <new>

#include "base/error.h"
#include "engine/runtime.h"
#include "results/provenance.h"

namespace stamp {

namespace {

std::vector<SlotResult> slot_results(const std::vector<SlotPlan>& plans, const std::vector<SlotStatistics>& statistics,
                                     std::int64_t high_tokens) {
  std::vector<SlotResult> results;
  for (std::size_t i = 0; i < statistics.size(); ++i) {
    if (statistics[i].samples == 0) continue;  // of a context
    SlotResult r;
    r.name = plans[i].slot->info().name;
    r.kind = name_of(plans[i].slot->info().kind);
    r.sums = statistics[i];
    r.theorem = theorem_conditions(plans[i].grid);
    r.high_tokens = high_tokens;
    results.push_back(std::move(r));
  }
  return results;
}

void add_caveats(const Record& record, const Session& session, const TrialSpec& spec,
                 const std::vector<SlotPlan>& plans, Monitor& monitor) {
  for (const SlotResult& s : record.slots)
    if (s.theorem.empty() && s.sums.worst_ratio > 1)
      monitor.warn(fmt::format("slot {}: the error is {:.4g} times the bound of Theorem 1, whose conditions hold",
                               s.name, s.sums.worst_ratio));
  if (plans.empty()) return;
  if (std::any_of(plans.begin(), plans.end(), [](const SlotPlan& p) { return p.transformed; })) {
    const Workload* data = session.data();
    if (const std::string text =
            assumed_levels(spec.quantization, data ? data->tokens_per_item() : 0, data ? data->grid_width() : 0);
        !text.empty())
      monitor.warn(text);
  }
  const SlotPlan& first = plans.front();
  if (!first.bits.dynamic && !first.bits.bits.empty() &&
      std::all_of(first.bits.bits.begin(), first.bits.bits.end(), [&](float b) { return b == first.bits.high_bits; }) &&
      first.bits.high_tokens >= static_cast<std::int64_t>(first.bits.bits.size()))
    monitor.warn(
        fmt::format("every token is at {} bits: the sequence is not longer than high_tokens", first.bits.high_bits));
}

// Mean of the passes' averages, 16 where nothing was quantized.
Json counted_bits(Network& network, const std::vector<PassBits>& passes, const WeightSpec& weights) {
  const auto mean = [&](std::optional<double> PassBits::*member) {
    double sum = 0;
    for (const PassBits& p : passes) sum += (p.*member).value_or(16) / static_cast<double>(passes.size());
    return sum;
  };
  Json j = Json::object();
  if (!network.linear_sites().empty()) j["activation_bits"] = mean(&PassBits::activations);
  if (!network.cache_sites().empty()) j["kv_bits"] = mean(&PassBits::caches);
  j["weight_bits"] = std::min(weights.bits, 16.0);
  return j;
}

// A number of high tokens is for long windows; of a short question it is most of the rows. Specification methods 2.5.
void warn_of_high_averages(const TrialSpec& spec, const PassBits& bits, const Workload& workload, Monitor& monitor) {
  const Json& options = spec.quantization.allocation.options;
  const auto k = options.find("high_tokens");
  if (k == options.end() || is_share(*k) || !bits.activations) return;
  if (*bits.activations > spec.quantization.activations.bits + 0.5)
    monitor.warn(
        fmt::format("high_tokens {} are many of the tokens of {}: its activations have {:.3g} bits on "
                    "average; a share such as s/32 keeps the average of long windows",
                    k->dump(), workload.description().value("task", "a question"), *bits.activations));
}

// What a trial measured before its metrics are finished; the network is the session's or the streamed walk's.
struct Evaluated {
  std::vector<Metric> reference;
  Network* network = nullptr;
  std::vector<SlotPlan> plans;
  std::vector<PassOutcome> passes;
  Json training;
};

Evaluated evaluate_in_memory(Session& session, const TrialSpec& spec, const std::vector<Pass>& passes,
                             Monitor& monitor) {
  Evaluated out;
  out.reference = session.reference(spec, monitor);
  out.network = &session.prepared(spec, monitor);
  out.training = session.training();
  out.plans = session.slots(spec, monitor);
  const auto phase = monitor.phase("run");
  for (const Pass& pass : passes) {
    const InstalledQuantizers installed(out.plans, pass.statistics);
    run_pass(*out.network, pass, monitor);
    out.passes.push_back({installed.average_bits(), installed.statistics()});
    for (Evaluator* e : pass.evaluators) e->end(out.passes.back().bits);
  }
  return out;
}

Evaluated evaluate_streamed(Session& session, const TrialSpec& spec, const std::vector<RunningMetric>& metrics,
                            Session::Streamed& streamed, Monitor& monitor) {
  streamed = session.run_streamed(spec, metrics, monitor);
  StreamedResult& walk = streamed.walk;
  return {std::move(streamed.reference), walk.network.get(), std::move(walk.plans), std::move(walk.passes),
          std::move(walk.training)};
}

void run_phases(Session& session, const TrialRequest& request, Record& record, Monitor& monitor) {
  const TrialSpec& spec = request.spec;
  const c10::InferenceMode no_gradients;
  session.open(spec, monitor);
  record.model = session.model_description();
  record.model.erase("slots");  // the record's own list says more
  if (const Workload* data = session.data()) {
    record.data = content_of(*data);
    record.data["protocol"] = data->protocol();
  }
  for (std::size_t i = 0; i < session.questions().size(); ++i)
    record.data["zero_shot"][spec.zero_shot.tasks[i]] = content_of(*session.questions()[i]);
  if (session.calibration()) record.data["calibration"] = content_of(*session.calibration());
  record.seeds["method"] = method_seed(spec);
  if (session.calibration()) record.seeds["calibration"] = calibration_of(spec).seed;

  const std::vector<RunningMetric> metrics = session.metrics(spec, spec.evaluate, false, request.keep_file);
  const std::vector<Pass> passes = session.passes(metrics);
  const bool streams = session.streams(spec);
  if (streams) record.model["streamed"] = true;
  Session::Streamed streamed;  // holds the network of a streamed trial
  const Evaluated done = streams ? evaluate_streamed(session, spec, metrics, streamed, monitor)
                                 : evaluate_in_memory(session, spec, passes, monitor);
  const std::vector<Metric>& reference = done.reference;
  const std::vector<SlotPlan>& plans = done.plans;
  Network& network = *done.network;
  record.training = done.training;
  for (const SlotPlan& plan : plans)
    if (!plan.chosen.empty()) record.transforms[plan.slot->info().name] = plan.chosen;
  std::vector<PassBits> counted;
  for (std::size_t i = 0; i < passes.size(); ++i) {
    counted.push_back(done.passes[i].bits);
    if (passes[i].workload->tokens_per_item() == 0)
      warn_of_high_averages(spec, counted.back(), *passes[i].workload, monitor);
    if (passes[i].statistics)
      record.slots = slot_results(plans, done.passes[i].statistics,
                                  high_tokens_of(spec.quantization.allocation, passes[i].workload->tokens_per_item()));
  }
  const auto phase = monitor.phase("evaluate");
  // Of a whole window where there are some, of what was counted otherwise.
  record.averages = session.data() ? average_bits(network, plans, spec.quantization.weights)
                                   : counted_bits(network, counted, spec.quantization.weights);
  for (const RunningMetric& m : metrics)
    for (Metric& result :
         m.evaluator->finish(m.evaluator->needs_slot_statistics() ? record.slots : std::vector<SlotResult>{}))
      record.metrics.push_back(std::move(result));
  record.metrics.insert(record.metrics.end(), reference.begin(), reference.end());
  record.bound = bound_summary(record.slots);
  add_caveats(record, session, spec, plans, monitor);
}

Failure failure_of(const std::exception& e, const std::string& phase) {
  // LibTorch appends a C++ backtrace to its messages; the first line says what happened.
  const std::string text = e.what();
  Failure f{"internal", text.substr(0, text.find('\n')), phase};
  if (const auto* trial = dynamic_cast<const TrialError*>(&e)) {
    f.kind = trial->kind();
  } else if (dynamic_cast<const ConfigError*>(&e)) {
    f = {"configuration", text, phase};
  } else if (dynamic_cast<const DataError*>(&e)) {
    f = {"missing", text, phase};
  } else if (dynamic_cast<const std::bad_alloc*>(&e)) {
    f = {"out_of_memory", "the memory did not suffice", phase};
  } else if (text.find("DefaultCPUAllocator") != std::string::npos) {
    f.kind = "out_of_memory";
  }
  return f;
}

}  // namespace

Json bound_summary(const std::vector<SlotResult>& slots) {
  if (slots.empty()) return Json::object();
  double error = 0, b1 = 0, b2 = 0, b3 = 0, b4 = 0, b5 = 0;
  const SlotResult* worst = &slots.front();
  for (const SlotResult& s : slots) {
    error += s.sums.error;
    b1 += s.sums.b1;
    b2 += s.sums.b2;
    b3 += s.sums.b3;
    b4 += s.sums.b4;
    b5 += s.sums.b5;
    if (s.sums.worst_ratio > worst->sums.worst_ratio) worst = &s;
  }
  return {{"worst_ratio", json_number(worst->sums.worst_ratio)},
          {"worst_slot", worst->name},
          {"error", json_number(error)},
          {"b1", json_number(b1)},
          {"b2", json_number(b2)},
          {"b3", json_number(b3)},
          {"b4", json_number(b4)},
          {"b5", json_number(b5)}};
}

Json average_bits(Network& network, const std::vector<SlotPlan>& plans, const WeightSpec& weights) {
  double bits[2] = {0, 0}, features[2] = {0, 0};  // linear inputs, caches
  for (Slot* slot : all_slots(network)) {
    const auto plan = std::find_if(plans.begin(), plans.end(), [&](const SlotPlan& p) { return p.slot == slot; });
    const int kind = slot->info().kind == SlotKind::linear_input ? 0 : 1;
    const auto d = static_cast<double>(slot->info().features);
    bits[kind] += d * (plan == plans.end() ? 16 : plan->bits.average());
    features[kind] += d;
  }
  Json j = Json::object();
  if (features[0] > 0) j["activation_bits"] = bits[0] / features[0];
  if (features[1] > 0) j["kv_bits"] = bits[1] / features[1];
  j["weight_bits"] = std::min(weights.bits, 16.0);
  return j;
}

Record run_trial(Session& session, const TrialRequest& request, Log& log, Progress& progress) {
  Record record;
  record.id = request.id;
  record.spec = request.canonical;
  record.code = code_provenance();
  record.libraries = library_provenance();
  record.hardware = hardware_provenance();
  record.threads = session.options().threads;
  Monitor monitor(log, progress);
  reset_peak_memory();
  try {
    run_phases(session, request, record, monitor);
    record.status = "done";
  } catch (const StoreError&) {
    throw;
  } catch (const std::exception& e) {
    record.status = "failed";
    record.metrics.clear();
    record.slots.clear();
    record.transforms = Json::object();
    record.bound = Json::object();
    record.failure = failure_of(e, monitor.failed_phase().empty() ? "start" : monitor.failed_phase());
    log.warn(fmt::format("failed in phase {}: {}: {}", record.failure->phase, record.failure->kind, e.what()));
    session.drop_network();  // its state is unknown, and its memory may be what was missing
  }
  record.timing_s = monitor.timing_s();
  record.warnings = monitor.warnings();
  record.peak_memory_bytes = peak_memory_bytes();
  record.finished = utc_now();
  return record;
}

}  // namespace stamp
