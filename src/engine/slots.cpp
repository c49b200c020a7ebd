#include "engine/slots.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "transforms/levels.h"
#include "transforms/per_slot.h"

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
    if (info.rows == SlotRows::context) {
      if (!spec.activations.text) continue;
      plan.transformed = plan.high_rows = false;
    }
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
    plan.grid.learned_low = slot->learned_range().low;
    plan.grid.learned_high = slot->learned_range().high;
    plan.grid.learned_bits = slot->learned_range().bits;
    if (plan.low_bits < 16) plans.push_back(std::move(plan));
  }
  return plans;
}

std::int64_t high_tokens_of(const AllocationSpec& allocation, std::int64_t tokens) {
  if (!allocation.options.contains("high_tokens")) return 0;
  return std::min(count_option(allocation.options, "high_tokens", tokens), tokens);
}

bool needs_bases(const QuantizationSpec& spec) {
  return needs_basis(spec.sequence.transform) && !transform_per_slot(spec);
}

bool transform_per_slot(const QuantizationSpec& spec) {
  return spec.sequence.transform == per_slot_name;
}

bool needs_row_energies(const AllocationSpec& allocation) {
  return allocator(allocation.kind).needs_energies(allocation.options);
}

std::int64_t skipped_tokens(const QuantizationSpec& spec, std::int64_t width) {
  return width > 0 ? 0 : spec.sequence.skip_first;
}

SequenceTransformRequest transform_request(const QuantizationSpec& spec, std::int64_t tokens, Gemm gemm,
                                           std::int64_t width) {
  const std::int64_t skip = skipped_tokens(spec, width);
  if (width > 0 && tokens % width != 0)
    throw TrialError("unsupported", fmt::format("{} tokens do not fill a grid of width {}", tokens, width));
  if (tokens <= skip)
    throw TrialError(
        "unsupported",
        fmt::format("skip_first is {} and a sequence has {} tokens: nothing is left to transform", skip, tokens));
  SequenceTransformRequest request;
  request.tokens = tokens - skip;
  request.grid_width = width;
  request.grid_height = width > 0 ? tokens / width : 0;
  // At least one, because 0 means "no high tokens are known" to the transforms.
  const std::int64_t high = high_tokens_of(spec.allocation, tokens);
  request.high_tokens = high > 0 ? std::max<std::int64_t>(high - skip, 1) : 0;
  request.options = spec.sequence.options;
  request.gemm = gemm;
  return request;
}

std::string assumed_levels(const QuantizationSpec& spec, std::int64_t tokens, std::int64_t width) {
  const std::string& name = spec.sequence.transform;
  constexpr const char* start = "levels: auto assumes {} high rows, because allocation {} names none: ";
  const std::string head = fmt::format(start, published_high_rows, spec.allocation.kind);
  if (tokens == 0) {
    SequenceTransformRequest request;
    request.tokens = 1;
    request.high_tokens = high_tokens_of(spec.allocation, std::int64_t{1} << 20);  // a share of a short text is one row
    request.options = spec.sequence.options;
    const std::optional<LevelCount> any = level_count(name, request);
    if (!any || !any->assumes_rows) return "";
    return head + fmt::format("texts of fewer than {} tokens are not transformed",
                              2 * published_high_rows + spec.sequence.skip_first);
  }
  const std::optional<LevelCount> count = level_count(name, transform_request(spec, tokens, plain_gemm, width));
  if (!count || !count->assumes_rows) return "";
  return head + fmt::format("{} level{} of {}{}; set levels", count->levels, count->levels == 1 ? "" : "s", count->most,
                            count->mixes() ? "" : ", so that rows are not transformed");
}

std::unique_ptr<SequenceTransform> with_skipped(std::int64_t skip, std::unique_ptr<SequenceTransform> inner) {
  if (skip == 0) return inner;
  return skip_first(skip, std::move(inner));
}

namespace {

std::shared_ptr<const SequenceTransform> identity_of(std::int64_t tokens) {
  SequenceTransformRequest request;
  request.tokens = tokens;
  return make_sequence_transform("identity", request);
}

// The trial's transform behind its skipped tokens. TrialError when there is nothing behind them.
std::shared_ptr<const SequenceTransform> transform_behind_skipped(const QuantizationSpec& spec, std::int64_t tokens,
                                                                  std::int64_t width, Gemm gemm) {
  return with_skipped(skipped_tokens(spec, width),
                      make_sequence_transform(spec.sequence.transform, transform_request(spec, tokens, gemm, width)));
}

}  // namespace

RowBits low_bits_only(double low_bits, std::int64_t tokens) {
  RowBits bits;
  bits.bits.assign(static_cast<std::size_t>(tokens), static_cast<float>(low_bits));
  bits.high_bits = static_cast<float>(low_bits);
  return bits;
}

AllocationRequest allocation_request(const AllocationSpec& allocation, double low_bits, std::int64_t tokens,
                                     const RowEnergies* energies) {
  AllocationRequest request;
  request.tokens = tokens;
  request.low_bits = low_bits;
  request.options = allocation.options;
  if (energies) {
    request.energies = energies->energy;
    request.spread_energies = energies->spread;
  }
  return request;
}

RowBits bits_of(const AllocationSpec& allocation, double low_bits, std::int64_t tokens, const RowEnergies* energies) {
  return allocator(allocation.kind).allocate(allocation_request(allocation, low_bits, tokens, energies));
}

void set_transforms(std::vector<SlotPlan>& plans, const QuantizationSpec& spec, std::int64_t tokens, Gemm gemm,
                    const CalibratedTransform& calibrated, std::int64_t width) {
  std::shared_ptr<const SequenceTransform> shared, identity;
  for (SlotPlan& plan : plans) {
    if (!plan.transformed) {
      if (!identity) identity = identity_of(tokens);
      plan.transform = identity;
    } else if (calibrated) {
      plan.transform = calibrated(plan.slot->info());
    } else {
      if (!shared) shared = transform_behind_skipped(spec, tokens, width, gemm);
      plan.transform = shared;
    }
  }
}

std::optional<JointAllocation> set_bits(std::vector<SlotPlan>& plans, const AllocationSpec& allocation,
                                        std::int64_t tokens, const std::vector<RowEnergies>& energies) {
  const JointAllocate together = joint_allocation(allocation.kind);
  std::vector<SlotToAllocate> slots;
  std::vector<SlotPlan*> theirs;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const RowEnergies* measured = i < energies.size() ? &energies[i] : nullptr;
    const SlotInfo& info = plans[i].slot->info();
    if (!plans[i].high_rows) {
      plans[i].bits = low_bits_only(plans[i].low_bits, tokens);
    } else if (together) {
      slots.push_back({info.name, allocation_request(allocation, plans[i].low_bits, tokens, measured), info.features});
      theirs.push_back(&plans[i]);
    } else {
      plans[i].bits = bits_of(allocation, plans[i].low_bits, tokens, measured);
    }
  }
  if (!together) return std::nullopt;
  JointAllocation joint = together(slots);
  for (std::size_t i = 0; i < theirs.size(); ++i) theirs[i]->bits = joint.bits[i];
  return joint;
}

namespace {

bool calibrated_for_one_length(const QuantizationSpec& spec) {
  return needs_basis(spec.sequence.transform) || needs_row_energies(spec.allocation);
}

// No longer than what is skipped: nothing is transformed.
std::shared_ptr<const SequenceTransform> transform_of(const QuantizationSpec& spec, bool transformed,
                                                      std::int64_t tokens, std::int64_t width, Gemm gemm) {
  if (!transformed || tokens <= skipped_tokens(spec, width)) return identity_of(tokens);
  return transform_behind_skipped(spec, tokens, width, gemm);
}

}  // namespace

void set_rules(std::vector<SlotPlan>& plans, const QuantizationSpec& spec, std::int64_t tokens, Gemm gemm,
               std::int64_t width) {
  // Slots share what depends on the number of tokens and their grid alone.
  using Key = std::tuple<bool, std::int64_t, std::int64_t>;
  auto transforms = std::make_shared<std::map<Key, std::shared_ptr<const SequenceTransform>>>();
  const auto shared_transform = [=, settings = spec](bool transformed, std::int64_t n, std::int64_t w) {
    auto& entry = (*transforms)[{transformed, n, w}];
    if (!entry) entry = transform_of(settings, transformed, n, w, gemm);
    return entry;
  };
  for (SlotPlan& plan : plans) {
    plan.whole = std::make_shared<RowRules>([=, settings = spec, own = RowRule{plan.transform, plan.bits},
                                             low = plan.low_bits, transformed = plan.transformed,
                                             high_rows = plan.high_rows](std::int64_t n, std::int64_t w) {
      if (n == tokens && (w == width || !transformed)) return own;
      if (!high_rows) return RowRule{shared_transform(false, n, 0), low_bits_only(low, n)};
      if (calibrated_for_one_length(settings))
        throw TrialError("tokens", fmt::format("a sequence of {} tokens: transform {} and allocation {} are calibrated "
                                               "for {} tokens only",
                                               n, settings.sequence.transform, settings.allocation.kind, tokens));
      return RowRule{shared_transform(transformed, n, w), bits_of(settings.allocation, low, n)};
    });
    plan.decode = std::make_shared<RowRules>([=, low = plan.low_bits](std::int64_t n, std::int64_t) {
      return RowRule{shared_transform(false, n, 0), low_bits_only(low, n)};
    });
  }
}

InstalledQuantizers::InstalledQuantizers(const std::vector<SlotPlan>& plans, bool statistics) {
  if (statistics) statistics_.resize(plans.size());  // never again: slots hold pointers into it
  for (std::size_t i = 0; i < plans.size(); ++i) {
    auto quantizer = std::make_shared<SlotQuantizer>();
    quantizer->whole = plans[i].whole;
    quantizer->decode = plans[i].decode;
    quantizer->grid = plans[i].grid;
    // Texts of a context have lengths of their own: no sums over rows that correspond.
    const bool summed = statistics && plans[i].slot->info().rows != SlotRows::context;
    quantizer->statistics = summed ? &statistics_[i] : nullptr;
    quantizer->workspace = &workspace_;
    quantizer->quantized = plans[i].slot->info().kind == SlotKind::linear_input ? &activations_ : &caches_;
    plans[i].slot->set_quantizer(std::move(quantizer));
    slots_.push_back(plans[i].slot);
  }
}

PassBits average_of(const QuantizedBits& activations, const QuantizedBits& caches) {
  const auto average = [](const QuantizedBits& q) {
    return q.values > 0 ? std::optional<double>(q.bits / q.values) : std::nullopt;
  };
  return {average(activations), average(caches)};
}

InstalledQuantizers::~InstalledQuantizers() {
  for (Slot* slot : slots_) slot->set_quantizer(nullptr);
}

}  // namespace stamp
