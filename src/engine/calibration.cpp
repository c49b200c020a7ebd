#include "engine/calibration.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

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

std::vector<RowEnergies> measure_row_energies(const CalibrationPass& pass, const std::vector<SlotPlan>& plans,
                                              Monitor& monitor) {
  std::vector<Slot*> watched;
  for (const SlotPlan& plan : plans) watched.push_back(plan.slot);
  std::vector<SlotStatistics> sums(plans.size());
  QuantizerWorkspace workspace;
  observe_items(
      pass, watched,
      [&](std::size_t i, ConstMatrixView x) {
        if (x.rows != plans[i].transform->tokens())
          throw TrialError("unsupported", "row energies: calibration has " + std::to_string(x.rows) +
                                              " tokens an item and the trial " +
                                              std::to_string(plans[i].transform->tokens()) +
                                              "; set calibration.context to data.context");
        measure_energies(x, *plans[i].transform, plans[i].grid.group, sums[i], workspace);
      },
      monitor);
  std::vector<RowEnergies> energies;
  for (const SlotStatistics& s : sums) {
    RowEnergies e{s.row_energy, s.row_range2};
    for (auto* list : {&e.energy, &e.spread})
      for (double& v : *list) v /= static_cast<double>(s.samples);
    energies.push_back(std::move(e));
  }
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

void measure_bases(const CalibrationPass& pass, const std::vector<Slot*>& slots, const BasisOptions& options,
                   const std::function<void(std::size_t, std::vector<float>)>& keep, Monitor& monitor) {
  const std::int64_t n = pass.tokens - options.skip;
  const std::uint64_t bytes = static_cast<std::uint64_t>(n) * static_cast<std::uint64_t>(n) * sizeof(float);
  const std::size_t at_once = std::max<std::size_t>(1, options.budget_bytes / bytes);
  for (std::size_t first = 0; first < slots.size(); first += at_once) {
    const std::vector<Slot*> part(slots.begin() + static_cast<std::ptrdiff_t>(first),
                                  slots.begin() + static_cast<std::ptrdiff_t>(std::min(slots.size(), first + at_once)));
    std::vector<at::Tensor> sums;
    for (std::size_t i = 0; i < part.size(); ++i) sums.push_back(at::zeros({n, n}, at::kFloat));
    observe_items(
        pass, part,
        [&](std::size_t i, ConstMatrixView x) {
          const at::Tensor rows =
              at::from_blob(const_cast<float*>(x.row(options.skip)), {n, x.cols}, {x.stride, 1}, at::kFloat);
          sums[i].addmm_(rows, rows.t());
        },
        monitor);
    for (std::size_t i = 0; i < part.size(); ++i) {
      const float* s = sums[i].const_data_ptr<float>();
      std::vector<double> mean(static_cast<std::size_t>(n * n));
      for (std::size_t j = 0; j < mean.size(); ++j)
        mean[j] = static_cast<double>(s[j]) / static_cast<double>(pass.count);
      sums[i].reset();
      keep(first + i, eigenbasis(mean, n));
    }
  }
}

}  // namespace stamp
