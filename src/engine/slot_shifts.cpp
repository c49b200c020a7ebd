#include "engine/slot_shifts.h"

#include <algorithm>
#include <stdexcept>

#include "models/column_sums.h"

namespace stamp {

namespace {

bool can_shift(const SlotInfo& slot) {
  return slot.kind == SlotKind::linear_input && slot.rows != SlotRows::context;
}

struct ChannelSum {
  std::vector<double> sum;
  double rows = 0;
};

}  // namespace

std::vector<LinearSite*> shifted_sites(const std::vector<SlotPlan>& plans) {
  std::vector<LinearSite*> sites;
  for (const SlotPlan& plan : plans)
    if (can_shift(plan.slot->info())) sites.push_back(dynamic_cast<LinearSite*>(plan.slot));
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
        const std::int64_t left_out = std::min(skip, tokens - 1), rows = tokens - left_out;
        for (std::int64_t first = 0; first < x.rows; first += tokens) {
          add_rows(x, first + left_out, rows, sums[i].sum);
          sums[i].rows += static_cast<double>(rows);
        }
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
  if (!shifts_inputs(spec)) return;
  for (LinearSite* site : shifted_sites(plans)) {
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
  return shifts_inputs(spec) && can_shift(slot) ? spec.activations.shift : "none";
}

}  // namespace stamp
