// A streamed trial as a session runs it: what is known already goes into the walk, what the walk measured is kept under
// the keys that the network in memory uses, since the numbers are the same.
#include <algorithm>

#include "base/memory.h"
#include "engine/session.h"
#include "engine/slot_bases.h"
#include "sweep/cost.h"

namespace stamp {

bool Session::streams(const TrialSpec& spec) const {
  return runs_streamed(spec.model, shape_of(model_description_), static_cast<double>(available_memory_bytes()));
}

Session::Streamed Session::run_streamed(const TrialSpec& spec, const std::vector<RunningMetric>& metrics_of_trial,
                                        Monitor& monitor) {
  const QuantizationSpec& q = spec.quantization;
  live_ = {};
  pool_.reset();
  const MethodPlugin& plugin = method(spec);
  const WeightQuantizerPlugin& weights =
      find_plugin(options_.plugins.weight_quantizers, q.weights.quantizer, "weight quantizer");
  const bool calibrated = plugin.info.reads_calibration() || (q.weights.bits < 16 && weights.info.needs_calibration);
  const KeyContext context = key_context();
  const Json prepared_as = prepared_key(context, spec, calibrated, plugin.info.trained);
  const std::int64_t tokens = data_ ? data_->tokens_per_item() : 0;
  const ResultCache::Warn warn = warn_into(monitor);

  Streamed out;
  StreamedRequest request;
  request.model = model_.get();
  request.spec = &spec;
  request.passes = passes(metrics_of_trial);
  request.tokens = tokens;
  request.width = data_ ? data_->grid_width() : 0;
  request.calibration = calibration_;
  request.method = &plugin;
  request.weights = q.weights.bits < 16 ? &weights : nullptr;
  const std::unique_ptr<MethodStore> store = method_store(spec, monitor);
  request.store = store.get();
  request.gemm = options_.gemm;
  request.budget = std::make_shared<RowBudget>(static_cast<std::uint64_t>(spec.model.rows_memory_gb * 1e9),
                                               scratch_folder(options_.cache_folder));
  request.warn = [&monitor](const std::string& text) { monitor.warn(text); };

  const ReferenceTask task = reference_task(spec);
  bool measures_reference = false;
  if (!task.metrics.empty()) {
    if (auto known = known_reference(task, monitor)) {
      out.reference = std::move(*known);
    } else {
      measures_reference = true;
      request.reference = passes_of(task.metrics, {data_, task.results.get(), task.questions});
    }
  }
  const Json maxima_key = channel_maxima_key(context);
  if (plugin.info.needs_calibration)
    if (const auto cached = cache_.load("channel_maxima", maxima_key, warn)) {
      request.maxima = Json::parse(*cached).get<ChannelMaxima>();
      monitor.info("channel maxima: from the cache");
    }
  std::optional<Json> means_key;
  if (needs_channel_means(q)) {
    means_key = channel_means_key(context, prepared_as, skipped_tokens(q, calibration_->grid_width()));
    if (const auto cached = cache_.load("channel_means", *means_key, warn)) {
      request.means = Json::parse(*cached).get<ChannelMeans>();
      monitor.info("channel means: from the cache");
    }
  }
  const std::int64_t width = request.width;
  const auto basis_of = [&, width](const SlotPlan& slot) {
    const SequenceTransformRequest transform = transform_request(q, tokens, options_.gemm, width);
    return basis_key(context, prepared_as, skipped_tokens(q, width), slot.slot->info().name,
                     basis_depends(q, transform, slot.low_bits), shift_of(q, slot.slot->info()));
  };
  request.known_basis = [&](const SlotPlan& slot) -> std::optional<std::vector<float>> {
    const auto cached = cache_.load("basis", basis_of(slot), warn);
    if (!cached) return std::nullopt;
    return values_of<float>(*cached);
  };
  request.keep_basis = [&](const SlotPlan& slot, const std::vector<float>& basis) {
    cache_.store("basis", basis_of(slot), bytes_of(std::span<const float>(basis)), warn);
  };
  const auto energies_key = [&] { return row_energies_key(context, prepared_as, spec, tokens); };
  request.known_energies = [&](std::size_t plans) -> std::optional<std::vector<RowEnergies>> {
    const auto cached = cache_.load("row_energies", energies_key(), warn);
    if (!cached) return std::nullopt;
    return energies_from_bytes(*cached, plans, static_cast<std::size_t>(tokens));
  };
  const auto candidate_key = [&](const TransformCandidate& candidate) {
    return row_energies_key(context, prepared_as, with_candidate(spec, candidate), tokens);
  };
  request.known_candidate_energies = [&](const SlotCandidates& candidates,
                                         std::size_t plans) -> std::optional<CandidateEnergies> {
    CandidateEnergies all;
    for (const TransformCandidate& c : candidates.list) {
      const auto cached = cache_.load("row_energies", candidate_key(c), warn);
      if (!cached) return std::nullopt;
      auto energies = energies_from_bytes(*cached, plans, static_cast<std::size_t>(tokens));
      if (!energies) return std::nullopt;
      all.push_back(std::move(*energies));
    }
    return all;
  };

  out.walk = stamp::run_streamed(request, monitor);
  counters_.builds += 1;
  counters_.calibrations += out.walk.calibrations;
  if (measures_reference) out.reference = keep_reference(task, monitor);
  if (out.walk.maxima) cache_.store("channel_maxima", maxima_key, Json(*out.walk.maxima).dump(), warn);
  if (out.walk.means) cache_.store("channel_means", means_key.value(), Json(*out.walk.means).dump(), warn);
  if (out.walk.energies) cache_.store("row_energies", energies_key(), bytes_of_energies(*out.walk.energies), warn);
  if (out.walk.candidate_energies)
    for (std::size_t c = 0; c < out.walk.candidates.list.size(); ++c)
      cache_.store("row_energies", candidate_key(out.walk.candidates.list[c]),
                   bytes_of_energies((*out.walk.candidate_energies)[c]), warn);
  return out;
}

}  // namespace stamp
