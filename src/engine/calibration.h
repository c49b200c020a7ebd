// Passes over calibration items that watch slots in full precision. Specification methods 2.3 e, 2.6, 5.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/monitor.h"
#include "engine/slots.h"
#include "models/network.h"
#include "transforms/basis_measure.h"

namespace stamp {

// How calibration items get through what is watched: all blocks of a network, or one block of a network that is walked
// through from its file.
struct CalibrationPass {
  std::int64_t count = 0;   // items
  std::int64_t tokens = 0;  // of one sequence; an item has one or, as with the two samples of guidance, several
  std::function<void(std::int64_t i)> run;
};
CalibrationPass whole_pass(Network& network, const Workload& workload);

// Runs every item once; observers see the slots of `watched` and are removed afterwards, quantizers are not touched.
void observe_items(const CalibrationPass& pass, const std::vector<Slot*>& watched,
                   const std::function<void(std::size_t slot, ConstMatrixView activation)>& observe, Monitor& monitor);

using ChannelMaxima = std::map<std::string, std::vector<float>>;  // slot -> max |x_j| over all tokens
// Adds to `maxima` what passes through `watched` while it lives.
class ChannelMaximaObserver {
 public:
  ChannelMaximaObserver(const std::vector<Slot*>& watched, ChannelMaxima& maxima);
  ~ChannelMaximaObserver();
  ChannelMaximaObserver(const ChannelMaximaObserver&) = delete;
  ChannelMaximaObserver& operator=(const ChannelMaximaObserver&) = delete;

 private:
  std::vector<Slot*> watched_;
};
ChannelMaxima measure_channel_maxima(Network& network, const Workload& workload, Monitor& monitor);

// As they lie in the cache: energies and spreads of every slot, one after the other.
std::string bytes_of_energies(const std::vector<RowEnergies>& energies);
// Nothing when they are not of that many slots and tokens.
std::optional<std::vector<RowEnergies>> energies_from_bytes(const std::string& bytes, std::size_t slots,
                                                            std::size_t tokens);

// Mean e_i and spread of every planned slot under its transform, over all sequences of all items. Zeros for the rows of
// a context, which have no high bits to give (SlotPlan::high_rows). TrialError where the rows that a slot sees are not
// whole sequences of the pass's length, or the plan's transform is for another.
std::vector<RowEnergies> measure_row_energies(const CalibrationPass& pass, const std::vector<SlotPlan>& plans,
                                              Monitor& monitor);
// The same under each of several transforms, [transform][plan], all in one pass: every number is that of a pass with
// this transform at every transformed slot. Slots that are not transformed keep the plan's own.
std::vector<std::vector<RowEnergies>> measure_row_energies(
    const CalibrationPass& pass, const std::vector<SlotPlan>& plans,
    const std::vector<std::shared_ptr<const SequenceTransform>>& transforms, Monitor& monitor);

// The basis of every task's slot from all sequences of all items, each without its first `skip` tokens. Slots are
// handled in as many passes over the items as keep what is summed under `budget_bytes`; each basis is handed to `keep`
// as soon as it is there. For klt, n tokens behind the skipped ones: n^2 d multiply-adds a slot and sequence in
// float32, and an n x n eigenproblem in double a slot, whose eigenvectors are the rows of the basis, largest eigenvalue
// first.
struct BasisTask {
  Slot* slot = nullptr;
  BasisRequest request;
};
struct BasisOptions {
  std::int64_t skip = 0;
  std::uint64_t budget_bytes = std::uint64_t{512} << 20;
};
void measure_bases(const CalibrationPass& pass, const BasisPlugin& plugin, const std::vector<BasisTask>& tasks,
                   const BasisOptions& options,
                   const std::function<void(std::size_t task, std::vector<float> basis)>& keep, Monitor& monitor);

// Eigenvectors of a symmetric n x n matrix (row-major) as rows, largest eigenvalue first; the largest entry of each is
// positive, so that the same matrix gives the same basis everywhere.
std::vector<float> eigenbasis(const std::vector<double>& symmetric, std::int64_t n);

}  // namespace stamp
