// What trials share: the opened model, tokenized texts, the full-precision reference, calibration results, and the
// prepared network (method applied, weights quantized and packed). One network is alive at a time; trials that come
// ordered by model, method and weights find it ready. Product section 6.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/basis_pool.h"
#include "engine/cache.h"
#include "engine/calibration.h"
#include "engine/keys.h"
#include "engine/monitor.h"
#include "engine/passes.h"
#include "engine/plugins.h"
#include "engine/slot_choice.h"
#include "engine/slots.h"
#include "engine/streamed.h"
#include "eval/evaluator.h"
#include "results/record.h"

namespace stamp {

// A workload's description without the path of its text: what it holds, not where it lies.
Json content_of(const Workload& workload);

struct SessionOptions {
  Plugins plugins;
  fs::path cache_folder;  // empty: nothing is kept between runs
  Gemm gemm = plain_gemm;
  int threads = 1;
  std::string arithmetic;                                       // see KeyContext
  std::uint64_t basis_budget_bytes = std::uint64_t{512} << 20;  // of KLT sums while measuring, of bases while running
};

// How often the dear steps were taken.
struct SessionCounters {
  int models = 0, workloads = 0, builds = 0, references = 0, calibrations = 0;
};

class Session {
 public:
  explicit Session(SessionOptions options) : options_(std::move(options)), cache_(options_.cache_folder) {}

  // The first call of a trial: opens its model and texts, unless they are open.
  void open(const TrialSpec& spec, Monitor& monitor);
  const Model& model() const { return *model_; }                        // opened
  const Json& model_description() const { return model_description_; }  // without its path
  // Text windows or denoising steps, whichever the trial reads; null when it reads neither.
  const Workload* data() const { return data_; }
  const std::vector<const Workload*>& questions() const { return questions_; }  // of every zero-shot task
  const Workload* calibration() const { return calibration_; }                  // null when the trial reads none

  // Metrics of the full-precision model on the trial's data, for the trial's metrics that need outputs only.
  std::vector<Metric> reference(const TrialSpec& spec, Monitor& monitor);
  // The network with method and weights in place, packed.
  Network& prepared(const TrialSpec& spec, Monitor& monitor);
  // Shifts of the planned linear inputs of the prepared network (engine/slot_shifts.h), measured where the trial asks
  // for it. Before anything else is calibrated on its slots.
  void shift_inputs(const TrialSpec& spec, const std::vector<SlotPlan>& plans, Monitor& monitor);
  // Slots of the prepared network with transform and bits, calibrated as far as the trial asks for it; shifted.
  std::vector<SlotPlan> slots(const TrialSpec& spec, Monitor& monitor);

  // `spec` must outlive the metrics.
  std::vector<RunningMetric> metrics(const TrialSpec& spec, const std::vector<std::string>& names, bool full_precision,
                                     const KeepFile& keep_file = {}) const;
  std::vector<Pass> passes(const std::vector<RunningMetric>& metrics) const {
    return passes_of(metrics, {data_, results_.get(), questions_});
  }

  // model.streamed as it is, or: the weights would take more than two thirds of the memory available.
  bool streams(const TrialSpec& spec) const;
  // The whole trial in one walk through the model's file, instead of reference(), prepared(), slots() and the passes
  // over `metrics`. Leaves no network behind.
  struct Streamed {
    StreamedResult walk;
    std::vector<Metric> reference;
  };
  Streamed run_streamed(const TrialSpec& spec, const std::vector<RunningMetric>& metrics, Monitor& monitor);

  const Json& training() const { return live_.training; }  // of the prepared network

  // The next trial builds its own; models, texts and results stay.
  void drop_network() { live_ = {}; }

  const SessionCounters& counters() const { return counters_; }
  const SessionOptions& options() const { return options_; }

 private:
  struct Live {
    Json key;
    std::unique_ptr<Network> network;
    std::vector<std::string> warnings;  // of its making; every trial that uses it repeats them
    Json training = Json::array();      // and its history, where the method was trained
  };
  Workload& workload(const Json& key, const std::function<std::shared_ptr<Workload>()>& make);
  void open_images(const TrialSpec& spec, Monitor& monitor);
  // The items of a workload that the full-precision model makes, unless they are there or in the cache.
  void generate(Workload& workload, const TrialSpec& spec, Monitor& monitor);
  const MethodPlugin& method(const TrialSpec& spec) const;
  bool needs_calibration(const TrialSpec& spec) const;
  bool reads(const TrialSpec& spec, const std::string& section) const;  // PluginInfo::reads of one of the metrics
  bool reads_images(const TrialSpec& spec) const;                       // or steps on the way to them
  const Workload& task_questions(const ZeroShotSpec& spec, const std::string& task);
  KeyContext key_context() const;
  Network& full_precision();
  ChannelMaxima channel_maxima(Monitor& monitor);
  CalibratedTransform calibrated_transform(const TrialSpec& spec, Monitor& monitor);
  std::vector<RowEnergies> row_energies(const TrialSpec& spec, const std::vector<SlotPlan>& plans, Monitor& monitor);
  CandidateEnergies candidate_energies(const TrialSpec& spec, const std::vector<SlotPlan>& plans,
                                       const SlotCandidates& candidates, Monitor& monitor);
  // Transform and bits of every plan: one after the other, or chosen for each slot. Result as of set_bits.
  std::optional<JointAllocation> decide(const TrialSpec& spec, std::vector<SlotPlan>& plans, Monitor& monitor);
  ResultCache::Warn warn_into(Monitor& monitor) const;
  std::unique_ptr<MethodStore> method_store(const TrialSpec& spec, Monitor& monitor) const;  // `spec` must outlive it
  // What the full-precision model is asked, and under which key the answer is kept. No metrics: nothing is. `spec` must
  // outlive it.
  struct ReferenceTask {
    std::shared_ptr<const Workload> results;
    std::vector<const Workload*> questions;
    std::vector<RunningMetric> metrics;  // goes first: they point at the results
    Json key;
  };
  ReferenceTask reference_task(const TrialSpec& spec);
  std::optional<std::vector<Metric>> known_reference(const ReferenceTask& task, Monitor& monitor);
  std::vector<Metric> keep_reference(const ReferenceTask& task, Monitor& monitor);  // behind the passes

  SessionOptions options_;
  ResultCache cache_;
  SessionCounters counters_;
  std::string model_path_;
  std::unique_ptr<Model> model_;
  Json model_description_;
  std::map<std::string, std::shared_ptr<Workload>> workloads_;
  const Workload* data_ = nullptr;
  std::unique_ptr<const Workload> results_;  // images that the steps of data_ lead to; null where there are none
  const Workload* calibration_ = nullptr;
  std::vector<const Workload*> questions_;
  std::map<std::string, std::vector<Metric>> references_;
  Live live_;
  Json pool_key_;
  std::shared_ptr<TransformPool> pool_;
};

}  // namespace stamp
