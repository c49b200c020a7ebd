// Which work items a trial's metrics observe, and their way through a network. Text windows are one pass, every
// zero-shot task is one, and metrics that run the network themselves have theirs.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/monitor.h"
#include "eval/evaluator.h"
#include "models/network.h"

namespace stamp {

// A metric at work.
struct RunningMetric {
  std::string reads;  // PluginInfo::reads
  std::unique_ptr<Evaluator> evaluator;
};

struct Pass {
  const Workload* workload = nullptr;
  std::vector<Evaluator*> evaluators;
  bool whole = true;        // items go through the network once for all evaluators; false: each runs it itself
  bool statistics = false;  // some evaluator wants the slots' sums over exactly these items
};

// What a pass left besides what its evaluators know.
struct PassOutcome {
  PassBits bits;
  std::vector<SlotStatistics> statistics;  // in the order of the plans; empty unless the pass asked for them
};

// What a trial's metrics may observe.
struct TrialItems {
  const Workload* data = nullptr;     // text windows or denoising steps; null when nothing reads them
  const Workload* results = nullptr;  // finished images, likewise
  std::vector<const Workload*> questions;
};
// Passes that have an evaluator, text windows or denoising steps first.
std::vector<Pass> passes_of(const std::vector<RunningMetric>& metrics, const TrialItems& items);
void run_pass(Network& network, const Pass& pass, Monitor& monitor);

}  // namespace stamp
