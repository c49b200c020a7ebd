// A trial on a model that is walked through from its file, one block in memory at a time. All items go through a block
// before the next one is loaded; full-precision reference, calibration, method, weight quantizer and the quantized
// evaluation share the walk. Every number is the one that the network in memory gives, to the bit: the same routines
// see the same rows in the same order. Specification models 6.1.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/calibration.h"
#include "engine/hidden_rows.h"
#include "engine/monitor.h"
#include "engine/passes.h"
#include "engine/preparation.h"
#include "engine/slot_choice.h"
#include "engine/slot_shifts.h"
#include "engine/slots.h"
#include "eval/evaluator.h"
#include "models/network.h"

namespace stamp {

// The residual stream of a workload's items between two blocks.
class RowStream {
 public:
  RowStream(const Workload& items, std::shared_ptr<RowBudget> budget) : items_(items), budget_(std::move(budget)) {}
  void enter(Network& network);                       // rows before block 0
  void forward(Network& network, std::size_t block);  // every item, in place
  // What a block does to a copy of item i, for whoever observes its slots.
  void pass(Network& network, std::size_t block, std::int64_t i);
  at::Tensor rows(std::int64_t i);  // in the store
  void leave(Network& network, const std::function<void(const WorkItem&, const Outputs&)>& take);
  std::int64_t count() const { return items_.count(); }
  const Workload& items() const { return items_; }

 private:
  const Workload& items_;
  std::shared_ptr<RowBudget> budget_;
  std::unique_ptr<HiddenRows> store_;
};

struct StreamedRequest {
  const Model* model = nullptr;
  const TrialSpec* spec = nullptr;
  std::vector<Pass> passes;               // over the prepared network
  std::vector<Pass> reference;            // over the untouched one; empty: it is not run
  std::int64_t tokens = 0;                // of the sequences whose rows have transform and bits of their own
  std::int64_t width = 0;                 // of the grid that they fill, as in Segment
  const Workload* calibration = nullptr;  // null when nothing is calibrated
  const MethodPlugin* method = nullptr;
  const WeightQuantizerPlugin* weights = nullptr;  // null: weights stay in full precision
  MethodStore* store = nullptr;
  Gemm gemm = plain_gemm;
  std::shared_ptr<RowBudget> budget;
  std::function<void(const std::string&)> warn;

  // What earlier runs left. Maxima and row energies are all there or not at all; bases come slot by slot.
  std::optional<ChannelMaxima> maxima;
  std::function<std::optional<std::vector<RowEnergies>>(std::size_t plans)>
      known_energies;  // in the order of plan_slots
  // Under every candidate of a trial whose slots have transforms of their own.
  std::function<std::optional<CandidateEnergies>(const SlotCandidates& candidates, std::size_t plans)>
      known_candidate_energies;
  std::optional<ChannelMeans> means;  // of the prepared network's linear inputs
  std::function<std::optional<std::vector<float>>(const SlotPlan& slot)> known_basis;
  std::function<void(const SlotPlan& slot, const std::vector<float>& basis)> keep_basis;
};

struct StreamedResult {
  std::unique_ptr<Network> network;  // its slots; no block is loaded any more
  std::vector<SlotPlan> plans;       // bits, without transforms
  std::vector<PassOutcome> passes;   // as requested
  Json training = Json::array();
  // What was measured on the way and was not there before.
  std::optional<ChannelMaxima> maxima;
  std::optional<ChannelMeans> means;
  std::optional<std::vector<RowEnergies>> energies;
  SlotCandidates candidates;  // of the trial
  std::optional<CandidateEnergies> candidate_energies;
  int calibrations = 0;
};
// TrialError "unsupported" for a pass whose metric runs the network itself, row by row: it needs all blocks at once.
StreamedResult run_streamed(const StreamedRequest& request, Monitor& monitor);

}  // namespace stamp
