#include "engine/keys.h"

#include <vector>

#include "base/seed.h"
#include "config/shift.h"
#include "engine/slot_bases.h"

namespace stamp {

namespace {

// Raised when the meaning of a cached value changes.
constexpr int reference_version = 1;
constexpr int generated_version = 1;
constexpr int channel_maxima_version = 1;
constexpr int channel_means_version = 1;
constexpr int basis_version = 1;
constexpr int row_energies_version = 1;
constexpr int training_version = 2;

Json machine(const KeyContext& context) {
  return {{"threads", context.threads}, {"arithmetic", context.arithmetic}};
}

Json activation_grid(const ActivationSpec& a) {
  if (a.bits >= 16) return {{"bits", 16}};
  Json grid = {{"bits", a.bits}, {"granularity", a.granularity}, {"symmetric", a.symmetric}, {"clip", a.clip}};
  if (a.granularity == "group") grid["group_size"] = a.group_size;
  return grid;
}

// Not whether the cache is transformed along the sequence: methods are trained without that.
Json cache_grid(const CacheSpec& c) {
  if (c.bits >= 16) return {{"bits", 16}};
  return {{"bits", c.bits}, {"granularity", c.granularity}, {"symmetric", c.symmetric}, {"clip", c.clip}};
}

Json grids_of(const QuantizationSpec& q) {
  return {{"activations", activation_grid(q.activations)}, {"kv_cache", cache_grid(q.kv_cache)}};
}

// The grid of the weights, not how they get onto it: methods are trained without the latter.
Json weight_grid_of(const WeightSpec& w) {
  Json grid = {{"bits", w.bits}};
  if (w.bits >= 16) return grid;
  grid["granularity"] = w.granularity;
  if (w.granularity == "group") grid["group_size"] = w.group_size;
  grid["symmetric"] = w.symmetric;
  return grid;
}

Json method_key(const KeyContext& context, const TrialSpec& spec) {
  const QuantizationSpec& q = spec.quantization;
  return {{"model", context.model.value("digest", Json())},
          {"method", q.method},
          {"options", q.method_options},
          {"seed", method_seed(spec)},
          {"key_cache_quantized", q.kv_cache.bits < 16}};
}

}  // namespace

std::uint64_t method_seed(const TrialSpec& spec) {
  return spec.repeat == 0 ? 0 : RandomStream(0, "method", static_cast<std::uint64_t>(spec.repeat)).bits();
}

CalibrationSpec calibration_of(const TrialSpec& spec) {
  CalibrationSpec calibration = spec.calibration;
  if (spec.repeat > 0)
    calibration.seed = RandomStream(calibration.seed, "calibration", static_cast<std::uint64_t>(spec.repeat)).bits();
  return calibration;
}

ImageSpec images_of(const TrialSpec& spec) {
  ImageSpec images = spec.images;
  if (spec.repeat > 0)
    images.seed = RandomStream(images.seed, "images", static_cast<std::uint64_t>(spec.repeat)).bits() >> 32;
  return images;
}

Json generated_key(const KeyContext& context, const Json& items) {
  return {{"version", generated_version},
          {"model", context.model.value("digest", Json())},
          {"items", items},
          {"machine", machine(context)}};
}

Json reference_key(const KeyContext& context, const Json& data, const std::vector<std::string>& metrics) {
  return {{"version", reference_version},
          {"model", context.model.value("digest", Json())},
          {"data", data},
          {"metrics", metrics},
          {"machine", machine(context)}};
}

Json channel_maxima_key(const KeyContext& context) {
  return {{"version", channel_maxima_version},
          {"model", context.model.value("digest", Json())},
          {"calibration", context.calibration},
          {"machine", machine(context)}};
}

Json prepared_key(const KeyContext& context, const TrialSpec& spec, bool calibrated, bool trained) {
  const QuantizationSpec& q = spec.quantization;
  Json weights = weight_grid_of(q.weights);
  if (q.weights.bits < 16) {
    weights["quantizer"] = q.weights.quantizer;
    weights["clip_search"] = q.weights.clip_search;
    weights["options"] = q.weights.options;
  }
  Json key = method_key(context, spec);
  key["weights"] = std::move(weights);
  if (calibrated) key["calibration"] = context.calibration;
  if (trained) key["grids"] = grids_of(q);
  return key;
}

Json training_key(const KeyContext& context, const TrialSpec& spec, const Json& part) {
  Json key = method_key(context, spec);
  key["version"] = training_version;
  key["weights"] = weight_grid_of(spec.quantization.weights);
  key["calibration"] = context.calibration;
  key["grids"] = grids_of(spec.quantization);
  key["machine"] = machine(context);
  key["part"] = part;
  return key;
}

Json channel_means_key(const KeyContext& context, const Json& prepared, std::int64_t skip) {
  return {{"version", channel_means_version},
          {"prepared", prepared},
          {"calibration", context.calibration},
          {"skip_first", skip},
          {"machine", machine(context)}};
}

Json basis_key(const KeyContext& context, const Json& prepared, std::int64_t skip, const std::string& slot,
               const Json& depends, const std::string& shift) {
  Json key = {{"version", basis_version}, {"prepared", prepared}, {"calibration", context.calibration},
              {"skip_first", skip},       {"slot", slot},         {"machine", machine(context)}};
  if (!depends.is_null()) key["depends"] = depends;
  if (shift != "none") key["shift"] = shift;
  return key;
}

Json row_energies_key(const KeyContext& context, const Json& prepared, const TrialSpec& spec, std::int64_t tokens) {
  const QuantizationSpec& q = spec.quantization;
  Json key = {{"version", row_energies_version},
              {"prepared", prepared},
              {"calibration", context.calibration},
              {"machine", machine(context)}};
  key["transform"] = {{"name", q.sequence.transform},
                      {"options", q.sequence.options},
                      {"skip_first", q.sequence.skip_first},
                      {"tokens", tokens},
                      {"high_tokens", high_tokens_of(q.allocation, tokens)}};
  // Rows under a basis that was chosen for certain bits.
  if (needs_bases(q)) {
    SequenceTransformRequest request;
    request.tokens = tokens;
    request.high_tokens = high_tokens_of(q.allocation, tokens);
    request.options = q.sequence.options;
    const Json activations = basis_depends(q, request, q.activations.bits);
    if (!activations.is_null()) key["basis"] = {activations, basis_depends(q, request, q.kv_cache.bits)};
  }
  // Which slots are measured, and in groups of what width.
  key["activations"] = {{"quantized", q.activations.bits < 16},
                        {"granularity", q.activations.granularity},
                        {"group_size", q.activations.group_size}};
  if (shifts_inputs(q)) key["activations"]["shift"] = q.activations.shift;
  key["kv_cache"] = {{"quantized", q.kv_cache.bits < 16},
                     {"granularity", q.kv_cache.granularity},
                     {"transformed", q.kv_cache.transformed}};
  return key;
}

}  // namespace stamp
