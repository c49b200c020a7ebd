// What a trial's slots get: the calibrated basis of each, row energies, transforms and bits.
#include <fmt/format.h>

#include "base/error.h"
#include "engine/session.h"
#include "engine/slot_bases.h"
#include "engine/slot_shifts.h"

namespace stamp {

CalibratedTransform Session::calibrated_transform(const TrialSpec& spec, Monitor& monitor) {
  const QuantizationSpec& q = spec.quantization;
  if (!needs_bases(q)) return {};
  const std::int64_t tokens = data_->tokens_per_item(), skip = skipped_tokens(q, data_->grid_width());
  const SequenceTransformRequest request = transform_request(q, tokens, options_.gemm, data_->grid_width());
  if (calibration_->tokens_per_item() != tokens)
    throw TrialError("unsupported", fmt::format("sequence transform {} is calibrated on items of the trial's length: "
                                                "calibration.context is {}, data.context {}",
                                                q.sequence.transform, calibration_->tokens_per_item(), tokens));
  const BasisPlugin& plugin = basis_plugin(q.sequence.transform);
  const std::size_t expected = plugin.floats(request.tokens) * sizeof(float);
  const KeyContext context = key_context();
  std::vector<BasisTask> tasks;
  std::map<std::string, Json> keys;
  for (const SlotPlan& plan : plan_slots(*live_.network, q)) {
    if (!plan.transformed) continue;
    const std::string& name = plan.slot->info().name;
    keys[name] = basis_key(context, live_.key, skip, name, basis_depends(q, request, plan.low_bits),
                           shift_of(q, plan.slot->info()));
    tasks.push_back({plan.slot, basis_request(q, request, plan.low_bits)});
  }
  // The slots are in it: another trial may transform caches that this one leaves alone.
  const Json pool_key = {keys, q.sequence.transform, q.sequence.options};

  if (!pool_ || pool_key_ != pool_key) {
    const auto phase = monitor.phase("calibrate");
    // Every basis is read once here, so that a damaged entry is found while it can still be made again.
    std::vector<BasisTask> missing;
    for (const BasisTask& task : tasks) {
      const auto cached = cache_.load("basis", keys.at(task.slot->info().name), warn_into(monitor));
      if (!cached || cached->size() != expected) missing.push_back(task);
    }
    auto unkept = std::make_shared<std::map<std::string, std::shared_ptr<const std::vector<float>>>>();
    if (!missing.empty()) {
      BasisOptions options;
      options.skip = skip;
      options.budget_bytes = options_.basis_budget_bytes;
      measure_bases(
          whole_pass(*live_.network, *calibration_), plugin, missing, options,
          [&](std::size_t i, std::vector<float> basis) {
            const std::string& slot = missing[i].slot->info().name;
            if (!cache_.store("basis", keys.at(slot), bytes_of(std::span<const float>(basis)), warn_into(monitor)))
              (*unkept)[slot] = std::make_shared<const std::vector<float>>(std::move(basis));
          },
          monitor);
      ++counters_.calibrations;
    }
    const auto make = [this, keys, unkept, request, name = q.sequence.transform, skip](const std::string& slot) {
      SequenceTransformRequest r = request;
      const auto held = unkept->find(slot);
      if (held != unkept->end()) {
        r.basis = held->second;
      } else {
        const auto cached = cache_.load("basis", keys.at(slot), [](const std::string&) {});
        if (!cached)
          throw TrialError("calibration", "the cached basis of slot " + slot + " has gone while the trial ran");
        r.basis = std::make_shared<const std::vector<float>>(values_of<float>(*cached));
      }
      return std::shared_ptr<const SequenceTransform>(with_skipped(skip, make_sequence_transform(name, r)));
    };
    // A dense transform holds its matrix and the transposed one; small ones are all kept.
    pool_ = std::make_shared<TransformPool>(make, plugin.large ? 2 * expected : 0, options_.basis_budget_bytes);
    pool_key_ = pool_key;
  }
  // Small ones are handed out themselves: what is lent has no view in blocks, which the quantizer likes better.
  if (!plugin.large) return [pool = pool_](const SlotInfo& slot) { return pool->get(slot.name); };
  return [pool = pool_, tokens](const SlotInfo& slot) { return pool->lend(slot.name, tokens); };
}

void Session::shift_inputs(const TrialSpec& spec, const std::vector<SlotPlan>& plans, Monitor& monitor) {
  const QuantizationSpec& q = spec.quantization;
  ChannelMeans means;
  if (needs_channel_means(q)) {
    const auto phase = monitor.phase("calibrate");
    const std::int64_t skip = skipped_tokens(q, calibration_->grid_width());
    const Json key = channel_means_key(key_context(), live_.key, skip);
    if (const auto cached = cache_.load("channel_means", key, warn_into(monitor))) {
      means = Json::parse(*cached).get<ChannelMeans>();
      monitor.info("channel means: from the cache");
    } else {
      means = measure_channel_means(whole_pass(*live_.network, *calibration_), shifted_sites(plans), skip, monitor);
      ++counters_.calibrations;
      cache_.store("channel_means", key, Json(means).dump(), warn_into(monitor));
    }
  }
  set_shifts(plans, q, means);
}

std::vector<RowEnergies> Session::row_energies(const TrialSpec& spec, const std::vector<SlotPlan>& plans,
                                               Monitor& monitor) {
  if (!needs_row_energies(spec.quantization.allocation) || plans.empty()) return {};
  const auto phase = monitor.phase("calibrate");
  const std::int64_t tokens = data_->tokens_per_item();
  if (calibration_->tokens_per_item() != tokens)
    throw TrialError("unsupported",
                     fmt::format("allocation {} is calibrated on items of the trial's length: "
                                 "calibration.context is {}, data.context {}",
                                 spec.quantization.allocation.kind, calibration_->tokens_per_item(), tokens));
  const auto n = static_cast<std::size_t>(tokens);
  const Json key = row_energies_key(key_context(), live_.key, spec, tokens);
  if (const auto cached = cache_.load("row_energies", key, warn_into(monitor))) {
    if (const auto energies = energies_from_bytes(*cached, plans.size(), n)) {
      monitor.info("row energies: from the cache");
      return *energies;
    }
  }
  const std::vector<RowEnergies> energies =
      measure_row_energies(whole_pass(*live_.network, *calibration_), plans, monitor);
  ++counters_.calibrations;
  cache_.store("row_energies", key, bytes_of_energies(energies), warn_into(monitor));
  return energies;
}

CandidateEnergies Session::candidate_energies(const TrialSpec& spec, const std::vector<SlotPlan>& plans,
                                              const SlotCandidates& candidates, Monitor& monitor) {
  const auto phase = monitor.phase("calibrate");
  const std::int64_t tokens = data_->tokens_per_item();
  if (calibration_->tokens_per_item() != tokens)
    throw TrialError("unsupported", fmt::format("sequence transform {} is calibrated on items of the trial's length: "
                                                "calibration.context is {}, data.context {}",
                                                per_slot_name, calibration_->tokens_per_item(), tokens));
  const KeyContext context = key_context();
  const auto key = [&](std::size_t c) {
    return row_energies_key(context, live_.key, with_candidate(spec, candidates.list[c]), tokens);
  };
  CandidateEnergies energies(candidates.list.size());
  std::vector<std::size_t> missing;
  std::vector<std::shared_ptr<const SequenceTransform>> unmeasured;
  for (std::size_t c = 0; c < energies.size(); ++c) {
    if (const auto cached = cache_.load("row_energies", key(c), warn_into(monitor)))
      if (auto known = energies_from_bytes(*cached, plans.size(), static_cast<std::size_t>(tokens))) {
        energies[c] = std::move(*known);
        continue;
      }
    missing.push_back(c);
    unmeasured.push_back(candidates.transforms[c]);
  }
  if (missing.empty()) {
    monitor.info("row energies under every candidate: from the cache");
    return energies;
  }
  auto measured = measure_row_energies(whole_pass(*live_.network, *calibration_), plans, unmeasured, monitor);
  ++counters_.calibrations;
  for (std::size_t m = 0; m < missing.size(); ++m) {
    cache_.store("row_energies", key(missing[m]), bytes_of_energies(measured[m]), warn_into(monitor));
    energies[missing[m]] = std::move(measured[m]);
  }
  return energies;
}

std::optional<JointAllocation> Session::decide(const TrialSpec& spec, std::vector<SlotPlan>& plans, Monitor& monitor) {
  const QuantizationSpec& q = spec.quantization;
  const std::int64_t tokens = data_->tokens_per_item(), width = data_->grid_width();
  if (!transform_per_slot(q)) {
    set_transforms(plans, q, tokens, options_.gemm, calibrated_transform(spec, monitor), width);
    return set_bits(plans, q.allocation, tokens, row_energies(spec, plans, monitor));
  }
  const SlotCandidates candidates = slot_candidates(q, tokens, options_.gemm, width);
  // For now the first one: rows that stay as they are have L = I already.
  const auto first = [&](const SlotInfo&) { return candidates.transforms.front(); };
  set_transforms(plans, q, tokens, options_.gemm, first, width);
  auto joint = choose_transforms(plans, q, tokens, candidates, candidate_energies(spec, plans, candidates, monitor));
  monitor.info(fmt::format("transforms: {}", chosen_text(plans)));
  return joint;
}

std::vector<SlotPlan> Session::slots(const TrialSpec& spec, Monitor& monitor) {
  std::vector<SlotPlan> plans = plan_slots(*live_.network, spec.quantization);
  if (plans.empty()) return plans;
  shift_inputs(spec, plans, monitor);
  // Without text windows no length is the trial's own: rules are made for lengths as they come.
  const std::int64_t tokens = data_ ? data_->tokens_per_item() : 0, width = data_ ? data_->grid_width() : 0;
  if (tokens == 0) {
    set_rules(plans, spec.quantization, tokens, options_.gemm, width);
    return plans;
  }
  const AllocationSpec& allocation = spec.quantization.allocation;
  if (const auto joint = decide(spec, plans, monitor)) {
    const std::string noise = fmt::format("{:.6g}, and no choice has less than {:.6g}", joint->loss, joint->bound);
    monitor.info(fmt::format("allocation {}: {:.6g} bits on average over all slots, predicted noise {}",
                             allocation.kind, joint->average_bits, noise));
    if (!joint->exact)
      monitor.warn(fmt::format("allocation {}: too many choices come close to tell the best; its predicted noise is {}",
                               allocation.kind, noise));
  }
  set_rules(plans, spec.quantization, tokens, options_.gemm, width);
  return plans;
}

}  // namespace stamp
