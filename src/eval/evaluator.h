// A metric computed from the pass over the work items. info() is torch-free and stands in the header of each metric;
// the worker also calls make(). Adding one: header, source, one line in eval/register.h.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/matrix.h"
#include "base/plugin.h"

namespace stamp {

class Network;
class Workload;
struct TrialSpec;
struct WorkItem;
struct Outputs;
struct Metric;
struct SlotResult;

// Average bits of the rows that were quantized while a workload ran; nothing where nothing was quantized.
struct PassBits {
  std::optional<double> activations, caches;
};

// Keeps a file of the trial under a name such as "0003.png" beside its record; may be empty: nothing is kept.
using KeepFile = std::function<void(const std::string& name, std::string_view bytes)>;

struct EvaluatorContext {
  std::string protocol;           // of the workload
  std::string items = "windows";  // what one work item is called
  // For metrics that run the network themselves.
  const TrialSpec* spec = nullptr;  // outlives the evaluator
  bool full_precision = false;      // the reference: nothing is quantized
  Gemm gemm = plain_gemm;
  KeepFile keep_file = {};
};

class Evaluator {
 public:
  virtual ~Evaluator() = default;
  virtual bool needs_slot_statistics() const { return false; }
  // False: it compares with the full-precision model already and says nothing of that one.
  virtual bool has_reference() const { return true; }
  // Digest of what it judges `workload` with besides the model, a classifier's files; "" where there is nothing.
  virtual std::string judged_with(const Workload& /*workload*/) const { return ""; }
  // True: the metric takes every item to the network itself, through run(), and observe() is never called.
  virtual bool runs_itself() const { return false; }
  virtual void run(Network& /*network*/, const WorkItem& /*item*/) {}
  // Before and after the items of a workload. Text windows are one workload, every zero-shot task is one.
  virtual void begin(const Workload& /*workload*/) {}
  virtual void end(const PassBits& /*bits*/) {}
  virtual void observe(const WorkItem& item, const Outputs& outputs) = 0;
  // `slots` is empty unless needs_slot_statistics(). NaN or infinite results are TrialErrors ("nan_metric").
  virtual std::vector<Metric> finish(const std::vector<SlotResult>& slots) = 0;
};

}  // namespace stamp
