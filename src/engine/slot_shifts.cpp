#include "engine/slot_shifts.h"

#include <algorithm>
#include <stdexcept>

namespace stamp {

namespace {

struct ChannelSum {
  std::vector<double> sum;
  double rows = 0;

  void add(ConstMatrixView x, std::int64_t first) {
    sum.resize(static_cast<std::size_t>(x.cols), 0.0);
    for (std::int64_t i = first; i < x.rows; ++i)
      for (std::int64_t j = 0; j < x.cols; ++j) sum[static_cast<std::size_t>(j)] += static_cast<double>(x.row(i)[j]);
    rows += static_cast<double>(x.rows - first);
  }
};

}  // namespace

std::vector<LinearSite*> shifted_sites(const std::vector<SlotPlan>& plans) {
  std::vector<LinearSite*> sites;
  for (const SlotPlan& plan : plans)
    if (plan.slot->info().kind == SlotKind::linear_input && plan.slot->info().rows != SlotRows::context)
      sites.push_back(dynamic_cast<LinearSite*>(plan.slot));
  return sites;
}

ChannelMeans measure_channel_means(const CalibrationPass& pass, const std::vector<LinearSite*>& sites,
                                   std::int64_t skip, Monitor& monitor) {
  std::vector<ChannelSum> sums(sites.size());
  const std::vector<Slot*> watched(sites.begin(), sites.end());
  observe_items(
      pass, watched,
      [&](std::size_t i, ConstMatrixView x) {
        const std::int64_t tokens = pass.tokens < 1 ? x.rows : pass.tokens;
        if (x.rows % tokens != 0)
          throw std::logic_error(watched[i]->info().name + ": rows that are not whole sequences");
        for (std::int64_t first = 0; first < x.rows; first += tokens)
          sums[i].add({x.row(first), tokens, x.cols, x.stride}, std::min(skip, tokens - 1));
      },
      monitor);
  ChannelMeans means;
  for (std::size_t i = 0; i < sites.size(); ++i) {
    std::vector<float>& mean = means[sites[i]->info().name];
    for (const double s : sums[i].sum) mean.push_back(static_cast<float>(s / sums[i].rows));
  }
  return means;
}

void set_shifts(const std::vector<SlotPlan>& plans, const QuantizationSpec& spec, const ChannelMeans& means) {
  for (LinearSite* site : shifted_sites(plans)) {
    if (!shifts_inputs(spec)) {
      site->set_shift(std::nullopt);
      continue;
    }
    InputShift shift;
    shift.skip = spec.sequence.skip_first;
    if (needs_channel_means(spec)) {
      const auto found = means.find(site->info().name);
      if (found == means.end()) throw std::logic_error(site->info().name + ": no channel means");
      shift.fixed = std::make_shared<const std::vector<float>>(found->second);
    }
    site->set_shift(std::move(shift));
  }
}

void clear_shifts(Network& network) {
  for (LinearSite* site : network.linear_sites()) site->set_shift(std::nullopt);
}

std::string shift_of(const QuantizationSpec& spec, const SlotInfo& slot) {
  const bool shifted = shifts_inputs(spec) && slot.kind == SlotKind::linear_input && slot.rows != SlotRows::context;
  return shifted ? spec.activations.shift : "none";
}

}  // namespace stamp
