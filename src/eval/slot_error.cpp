#include "eval/slot_error.h"

#include <cmath>

#include "base/error.h"
#include "results/record.h"

namespace stamp {

namespace {

// How far a prediction lies from what was measured, as a factor of 1 or more, whichever is larger: its geometric mean
// over slots, so that a slot predicted at twice its error and one at half of it do not cancel.
class PredictionFactor {
 public:
  void add(double predicted, double measured) {
    if (!(predicted > 0 && measured > 0)) return;
    sum_ += std::fabs(std::log(predicted / measured));
    ++slots_;
  }
  std::int64_t slots() const { return slots_; }
  double value() const { return std::exp(sum_ / static_cast<double>(slots_)); }

 private:
  double sum_ = 0;
  std::int64_t slots_ = 0;
};

// Works on the slots' sums alone; the per-slot values themselves stand in the record's `slots`.
class SlotErrorEvaluator : public Evaluator {
 public:
  explicit SlotErrorEvaluator(EvaluatorContext context) : context_(std::move(context)) {}

  bool needs_slot_statistics() const override { return true; }
  void observe(const WorkItem&, const Outputs&) override {}

  std::vector<Metric> finish(const std::vector<SlotResult>& slots) override {
    double signal = 0, error = 0, decibels = 0, worst = 0, shares = 0;
    PredictionFactor b3, b5;
    std::int64_t measured = 0, finite = 0, bounded = 0, violating = 0, shared = 0;
    for (const SlotResult& slot : slots) {
      if (slot.sums.samples == 0) continue;
      if (!std::isfinite(slot.sums.error) || !std::isfinite(slot.sums.signal))
        throw TrialError("nan_metric", "slot_error: the error at slot " + slot.name + " is not a finite number");
      ++measured;
      signal += slot.sums.signal;
      error += slot.sums.error;
      b3.add(slot.sums.b3, slot.sums.error);
      b5.add(slot.sums.b5, slot.sums.error);
      worst = std::max(worst, slot.sums.worst_ratio);
      if (slot.sums.error > 0 && slot.sums.signal > 0) {
        ++finite;
        decibels += slot.sums.sqnr_db();
      }
      if (const auto share = slot.share()) {
        ++shared;
        shares += *share;
      }
      if (slot.theorem.empty()) {
        ++bounded;
        // The theorem holds for every single sample, so the worst sample is what can refute it.
        violating += slot.sums.worst_ratio > 1 ? 1 : 0;
      }
    }
    std::vector<Metric> metrics;
    // Without any error a ratio in dB is infinite: then the metric is absent, not a stand-in number.
    if (error > 0 && signal > 0)
      metrics.push_back(metric("slot_sqnr", 10 * std::log10(signal / error), "dB", measured, false));
    if (finite > 0)
      metrics.push_back(metric("slot_sqnr_mean", decibels / static_cast<double>(finite), "dB", finite, false));
    if (measured > 0) metrics.push_back(metric("slot_error_ratio_worst", worst, "", measured, true));
    // Of the energy behind the transform, in the rows at high bits; 2.6's rho_k.
    if (shared > 0)
      metrics.push_back(metric("slot_energy_share", shares / static_cast<double>(shared), "", shared, false));
    if (b3.slots() > 0) metrics.push_back(metric("slot_b3_factor", b3.value(), "", b3.slots(), true));
    if (b5.slots() > 0) metrics.push_back(metric("slot_b5_factor", b5.value(), "", b5.slots(), true));
    if (bounded > 0)
      metrics.push_back(metric("slot_bound_violations", static_cast<double>(violating) / static_cast<double>(bounded),
                               "", bounded, true));
    return metrics;
  }

 private:
  Metric metric(const char* name, double value, const char* unit, std::int64_t n, bool lower_is_better) const {
    Metric m;
    m.name = name;
    m.value = value;
    m.unit = unit;
    m.over = "slots";
    m.n = n;
    m.protocol = context_.protocol;
    m.lower_is_better = lower_is_better;
    return m;
  }

  EvaluatorContext context_;
};

}  // namespace

std::unique_ptr<Evaluator> SlotError::make(const EvaluatorContext& context) {
  return std::make_unique<SlotErrorEvaluator>(context);
}

}  // namespace stamp
