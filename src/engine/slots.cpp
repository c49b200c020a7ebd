#include "engine/slots.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace stamp {

std::vector<Slot*> all_slots(Network& network) {
  std::vector<Slot*> slots;
  for (LinearSite* site : network.linear_sites()) slots.push_back(site);
  for (CacheSite* site : network.cache_sites()) slots.push_back(site);
  return slots;
}

std::vector<SlotPlan> plan_slots(Network& network, const QuantizationSpec& spec) {
  std::vector<SlotPlan> plans;
  for (Slot* slot : all_slots(network)) {
    const SlotInfo& info = slot->info();
    SlotPlan plan;
    plan.slot = slot;
    if (info.kind == SlotKind::linear_input) {
      plan.low_bits = spec.activations.bits;
      plan.grid.symmetric = spec.activations.symmetric;
      plan.grid.clip = spec.activations.clip;
      plan.grid.group =
          spec.activations.granularity == "group" ? std::min(spec.activations.group_size, info.features) : 0;
    } else {
      plan.low_bits = spec.kv_cache.bits;
      plan.grid.symmetric = spec.kv_cache.symmetric;
      plan.grid.clip = spec.kv_cache.clip;
      plan.grid.group = spec.kv_cache.granularity == "head" ? info.features / info.heads : 0;
      plan.transformed = spec.kv_cache.transformed;
    }
    if (plan.low_bits < 16) plans.push_back(std::move(plan));
  }
  return plans;
}

std::int64_t high_tokens_of(const AllocationSpec& allocation, std::int64_t tokens) {
  const auto found = allocation.options.find("high_tokens");
  if (found == allocation.options.end() || !found->is_number_integer()) return 0;
  return std::min(found->get<std::int64_t>(), tokens);
}

bool needs_row_energies(const AllocationSpec& allocation) {
  return allocator(allocation.kind).needs_energies(allocation.options);
}

SequenceTransformRequest transform_request(const QuantizationSpec& spec, std::int64_t tokens, Gemm gemm) {
  const std::int64_t skip = spec.sequence.skip_first;
  if (tokens <= skip)
    throw TrialError(
        "unsupported",
        fmt::format("skip_first is {} and a sequence has {} tokens: nothing is left to transform", skip, tokens));
  SequenceTransformRequest request;
  request.tokens = tokens - skip;
  // At least one, because 0 means "no high tokens are known" to the transforms.
  const std::int64_t high = high_tokens_of(spec.allocation, tokens);
  request.high_tokens = high > 0 ? std::max<std::int64_t>(high - skip, 1) : 0;
  request.options = spec.sequence.options;
  request.gemm = gemm;
  return request;
}

std::unique_ptr<SequenceTransform> with_skipped(std::int64_t skip, std::unique_ptr<SequenceTransform> inner) {
  if (skip == 0) return inner;
  return skip_first(skip, std::move(inner));
}

void set_transforms(std::vector<SlotPlan>& plans, const QuantizationSpec& spec, std::int64_t tokens, Gemm gemm,
                    const CalibratedTransform& calibrated) {
  std::shared_ptr<const SequenceTransform> shared, identity;
  for (SlotPlan& plan : plans) {
    if (!plan.transformed) {
      if (!identity) {
        SequenceTransformRequest request;
        request.tokens = tokens;
        identity = make_sequence_transform("identity", request);
      }
      plan.transform = identity;
    } else if (calibrated) {
      plan.transform = calibrated(plan.slot->info());
    } else {
      if (!shared)
        shared = with_skipped(spec.sequence.skip_first,
                              make_sequence_transform(spec.sequence.transform, transform_request(spec, tokens, gemm)));
      plan.transform = shared;
    }
  }
}

void set_bits(std::vector<SlotPlan>& plans, const AllocationSpec& allocation, std::int64_t tokens,
              const std::vector<RowEnergies>& energies) {
  const AllocatorPlugin& plugin = allocator(allocation.kind);
  for (std::size_t i = 0; i < plans.size(); ++i) {
    AllocationRequest request;
    request.tokens = tokens;
    request.low_bits = plans[i].low_bits;
    request.options = allocation.options;
    if (i < energies.size()) {
      request.energies = energies[i].energy;
      request.spread_energies = energies[i].spread;
    }
    plans[i].bits = plugin.allocate(request);
  }
}

InstalledQuantizers::InstalledQuantizers(const std::vector<SlotPlan>& plans, bool statistics) {
  if (statistics) statistics_.resize(plans.size());  // never again: slots hold pointers into it
  for (std::size_t i = 0; i < plans.size(); ++i) {
    auto quantizer = std::make_shared<SlotQuantizer>();
    quantizer->transform = plans[i].transform;
    quantizer->bits = plans[i].bits;
    quantizer->grid = plans[i].grid;
    quantizer->statistics = statistics ? &statistics_[i] : nullptr;
    quantizer->workspace = &workspace_;
    plans[i].slot->set_quantizer(std::move(quantizer));
    slots_.push_back(plans[i].slot);
  }
}

InstalledQuantizers::~InstalledQuantizers() {
  for (Slot* slot : slots_) slot->set_quantizer(nullptr);
}

}  // namespace stamp
