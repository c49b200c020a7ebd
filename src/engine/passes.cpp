#include "engine/passes.h"

#include <algorithm>

namespace stamp {

std::vector<Pass> passes_of(const std::vector<RunningMetric>& metrics, const TrialItems& items) {
  std::vector<Pass> passes;
  const auto add = [&](const Workload* workload, const std::vector<std::string>& read, bool whole) {
    Pass pass;
    pass.workload = workload;
    pass.whole = whole;
    for (const RunningMetric& m : metrics)
      if (std::find(read.begin(), read.end(), m.reads) != read.end() && m.evaluator->runs_itself() != whole)
        pass.evaluators.push_back(m.evaluator.get());
    pass.statistics = std::any_of(pass.evaluators.begin(), pass.evaluators.end(),
                                  [](const Evaluator* e) { return e->needs_slot_statistics(); });
    if (!pass.evaluators.empty()) passes.push_back(std::move(pass));
  };
  if (items.data)
    for (const bool whole : {true, false}) add(items.data, {"data", "steps", "items"}, whole);
  if (items.results) add(items.results, {"images"}, true);
  for (const Workload* w : items.questions) add(w, {"zero_shot"}, true);
  return passes;
}

void run_pass(Network& network, const Pass& pass, Monitor& monitor) {
  for (Evaluator* e : pass.evaluators) e->begin(*pass.workload);
  for (std::int64_t i = 0; i < pass.workload->count(); ++i) {
    monitor.step(i, pass.workload->count());
    const WorkItem item = pass.workload->item(i);
    if (!pass.whole) {
      for (Evaluator* e : pass.evaluators) e->run(network, item);
      continue;
    }
    const Outputs outputs = pass.workload->run(network, item);
    for (Evaluator* e : pass.evaluators) e->observe(item, outputs);
  }
}

}  // namespace stamp
