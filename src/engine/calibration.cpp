#include "engine/calibration.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linalg_eigh.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>

#include "base/error.h"
#include "engine/cache.h"

namespace stamp {

namespace {

class Observers {
 public:
  Observers(const std::vector<Slot*>& slots, const std::function<void(std::size_t, ConstMatrixView)>& observe)
      : slots_(slots) {
    for (std::size_t i = 0; i < slots.size(); ++i)
      slots[i]->set_observer([&observe, i](const SlotInfo&, ConstMatrixView x) { observe(i, x); });
  }
  ~Observers() {
    for (Slot* slot : slots_) slot->set_observer(nullptr);
  }
  Observers(const Observers&) = delete;
  Observers& operator=(const Observers&) = delete;

 private:
  const std::vector<Slot*>& slots_;
};

}  // namespace

namespace {

// Of what a slot sees, sequence by sequence. All are of one length: where a trial's bits or bases come from
// calibration, its items have that length too.
void over_sequences(const CalibrationPass& pass, const SlotInfo& slot, ConstMatrixView x,
                    const std::function<void(ConstMatrixView)>& visit) {
  if (pass.tokens < 1 || x.rows % pass.tokens != 0)
    throw TrialError("unsupported", slot.name + ": calibration on sequences of " + std::to_string(pass.tokens) +
                                        " tokens, and an item has " + std::to_string(x.rows) +
                                        " rows here; is the slot one of a context?");
  for (std::int64_t first = 0; first < x.rows; first += pass.tokens)
    visit({x.row(first), pass.tokens, x.cols, x.stride});
}

}  // namespace

CalibrationPass whole_pass(Network& network, const Workload& workload) {
  return {workload.count(), workload.tokens_per_item(), [&](std::int64_t i) { network.run(workload.item(i)); }};
}

void observe_items(const CalibrationPass& pass, const std::vector<Slot*>& watched,
                   const std::function<void(std::size_t, ConstMatrixView)>& observe, Monitor& monitor) {
  const Observers observers(watched, observe);
  for (std::int64_t i = 0; i < pass.count; ++i) {
    monitor.step(i, pass.count);
    pass.run(i);
  }
}

ChannelMaximaObserver::ChannelMaximaObserver(const std::vector<Slot*>& watched, ChannelMaxima& maxima)
    : watched_(watched) {
  for (Slot* slot : watched_) {
    std::vector<float>& largest = maxima[slot->info().name];
    largest.resize(static_cast<std::size_t>(slot->info().features), 0.0f);
    slot->set_observer([&largest](const SlotInfo&, ConstMatrixView x) {
      for (std::int64_t t = 0; t < x.rows; ++t) {
        const float* row = x.row(t);
        for (std::int64_t j = 0; j < x.cols; ++j) {
          float& top = largest[static_cast<std::size_t>(j)];
          top = std::max(top, std::fabs(row[j]));
        }
      }
    });
  }
}

ChannelMaximaObserver::~ChannelMaximaObserver() {
  for (Slot* slot : watched_) slot->set_observer(nullptr);
}

ChannelMaxima measure_channel_maxima(Network& network, const Workload& workload, Monitor& monitor) {
  std::vector<Slot*> watched;
  for (LinearSite* site : network.linear_sites()) watched.push_back(site);
  ChannelMaxima maxima;
  const ChannelMaximaObserver observer(watched, maxima);
  for (std::int64_t i = 0; i < workload.count(); ++i) {
    monitor.step(i, workload.count());
    network.run(workload.item(i));
  }
  return maxima;
}

std::string bytes_of_energies(const std::vector<RowEnergies>& energies) {
  std::vector<double> values;
  for (const RowEnergies& e : energies)
    for (const auto* list : {&e.energy, &e.spread}) values.insert(values.end(), list->begin(), list->end());
  return bytes_of(std::span<const double>(values));
}

std::optional<std::vector<RowEnergies>> energies_from_bytes(const std::string& bytes, std::size_t slots,
                                                            std::size_t tokens) {
  const std::vector<double> values = values_of<double>(bytes);
  if (values.size() != slots * 2 * tokens) return std::nullopt;
  std::vector<RowEnergies> energies(slots);
  auto at = values.begin();
  for (RowEnergies& e : energies)
    for (auto* list : {&e.energy, &e.spread}) {
      list->assign(at, at + static_cast<std::ptrdiff_t>(tokens));
      at += static_cast<std::ptrdiff_t>(tokens);
    }
  return energies;
}

namespace {

using Transforms = std::vector<const SequenceTransform*>;

// [plan][transform] under the transforms that `of` names for a plan: at least one, none for rows of a context.
std::vector<std::vector<RowEnergies>> energies_under(const CalibrationPass& pass, const std::vector<SlotPlan>& plans,
                                                     const std::function<Transforms(const SlotPlan&)>& of,
                                                     Monitor& monitor) {
  std::vector<std::vector<RowEnergies>> energies(plans.size());
  std::vector<std::size_t> measured;
  std::vector<Slot*> watched;
  std::vector<Transforms> transforms;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    if (!plans[i].high_rows) continue;
    transforms.push_back(of(plans[i]));
    for (const SequenceTransform* l : transforms.back())
      if (l->tokens() != pass.tokens)
        throw TrialError("unsupported", "row energies: calibration has " + std::to_string(pass.tokens) +
                                            " tokens an item and the trial " + std::to_string(l->tokens()) +
                                            "; set calibration.context to data.context");
    measured.push_back(i);
    watched.push_back(plans[i].slot);
  }
  std::vector<std::vector<SlotStatistics>> sums;
  for (const Transforms& list : transforms) sums.emplace_back(list.size());
  QuantizerWorkspace workspace;
  observe_items(
      pass, watched,
      [&](std::size_t k, ConstMatrixView x) {
        const SlotPlan& plan = plans[measured[k]];
        over_sequences(pass, plan.slot->info(), x, [&](ConstMatrixView rows) {
          for (std::size_t c = 0; c < transforms[k].size(); ++c)
            measure_energies(rows, *transforms[k][c], plan.grid.group, sums[k][c], workspace);
        });
      },
      monitor);
  for (std::size_t k = 0; k < measured.size(); ++k)
    for (SlotStatistics& sum : sums[k]) {
      RowEnergies e{std::move(sum.row_energy), std::move(sum.row_range2)};
      for (auto* list : {&e.energy, &e.spread})
        for (double& v : *list) v /= static_cast<double>(sum.samples);
      energies[measured[k]].push_back(std::move(e));
    }
  return energies;
}

}  // namespace

std::vector<RowEnergies> measure_row_energies(const CalibrationPass& pass, const std::vector<SlotPlan>& plans,
                                              Monitor& monitor) {
  auto own = energies_under(
      pass, plans, [](const SlotPlan& plan) { return Transforms{plan.transform.get()}; }, monitor);
  const auto tokens = static_cast<std::size_t>(pass.tokens);
  std::vector<RowEnergies> energies(plans.size(), {std::vector<double>(tokens), std::vector<double>(tokens)});
  for (std::size_t i = 0; i < plans.size(); ++i)
    if (!own[i].empty()) energies[i] = std::move(own[i][0]);
  return energies;
}

std::vector<std::vector<RowEnergies>> measure_row_energies(
    const CalibrationPass& pass, const std::vector<SlotPlan>& plans,
    const std::vector<std::shared_ptr<const SequenceTransform>>& transforms, Monitor& monitor) {
  const auto of = [&](const SlotPlan& plan) {
    Transforms list;
    if (!plan.transformed) return Transforms{plan.transform.get()};
    for (const auto& l : transforms) list.push_back(l.get());
    return list;
  };
  auto under = energies_under(pass, plans, of, monitor);
  const auto tokens = static_cast<std::size_t>(pass.tokens);
  std::vector<std::vector<RowEnergies>> energies(transforms.size(), std::vector<RowEnergies>(plans.size()));
  for (std::size_t c = 0; c < transforms.size(); ++c)
    for (std::size_t i = 0; i < plans.size(); ++i)
      if (plans[i].high_rows && plans[i].transformed)
        energies[c][i] = std::move(under[i][c]);
      else if (plans[i].high_rows)
        energies[c][i] = under[i][0];
      else
        energies[c][i] = {std::vector<double>(tokens), std::vector<double>(tokens)};
  return energies;
}

std::vector<float> eigenbasis(const std::vector<double>& symmetric, std::int64_t n) {
  const at::Tensor matrix = at::from_blob(const_cast<double*>(symmetric.data()), {n, n}, at::kDouble);
  const at::Tensor vectors = std::get<1>(at::linalg_eigh(matrix)).contiguous();  // columns, smallest eigenvalue first
  const double* v = vectors.const_data_ptr<double>();
  std::vector<float> basis(static_cast<std::size_t>(n * n));
  for (std::int64_t row = 0; row < n; ++row) {
    const std::int64_t column = n - 1 - row;
    double largest = 0;
    for (std::int64_t i = 0; i < n; ++i)
      if (std::fabs(v[i * n + column]) > std::fabs(largest)) largest = v[i * n + column];
    const double sign = largest < 0 ? -1 : 1;
    for (std::int64_t i = 0; i < n; ++i)
      basis[static_cast<std::size_t>(row * n + i)] = static_cast<float>(sign * v[i * n + column]);
  }
  return basis;
}

void measure_bases(const CalibrationPass& pass, const BasisPlugin& plugin, const std::vector<BasisTask>& tasks,
                   const BasisOptions& options, const std::function<void(std::size_t, std::vector<float>)>& keep,
                   Monitor& monitor) {
  std::uint64_t bytes = 1;
  for (const BasisTask& task : tasks) {
    bytes = std::max(bytes, plugin.sum_bytes(task.request));
    if (task.request.tokens != pass.tokens - options.skip)
      throw std::logic_error("a basis of " + std::to_string(task.request.tokens) + " tokens from sequences of " +
                             std::to_string(pass.tokens - options.skip));
  }
  const std::size_t at_once = std::max<std::size_t>(1, options.budget_bytes / bytes);
  for (std::size_t first = 0; first < tasks.size(); first += at_once) {
    std::vector<Slot*> part;
    std::vector<std::unique_ptr<BasisMeasure>> measures;
    for (std::size_t i = first; i < std::min(tasks.size(), first + at_once); ++i) {
      part.push_back(tasks[i].slot);
      measures.push_back(plugin.start(tasks[i].request));
    }
    observe_items(
        pass, part,
        [&](std::size_t i, ConstMatrixView x) {
          over_sequences(pass, part[i]->info(), x, [&](ConstMatrixView sequence) {
            measures[i]->add({sequence.row(options.skip), pass.tokens - options.skip, x.cols, x.stride});
          });
        },
        monitor);
    for (std::size_t i = 0; i < part.size(); ++i) {
      keep(first + i, measures[i]->basis());
      measures[i].reset();
    }
  }
}

}  // namespace stamp
