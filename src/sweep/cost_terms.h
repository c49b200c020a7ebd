// What a trial asks for, in the words of its cost.
#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/plugin.h"
#include "config/schema.h"
#include "sweep/model_shape.h"

namespace stamp::cost {

// Of the code, not of a machine: sizes of the buffers it works with.
constexpr double head_chunk = 16384;     // rows of the output projection at a time
constexpr double logit_rows = 256;       // rows of logits at a time
constexpr double dense_rotation = 8192;  // widths up to which rotations are folded in double
constexpr double rotated_rows = 2048;    // of a weight in double at a time
constexpr double basis_budget = 512.0 * (1 << 20);
constexpr double f32 = 4, f64 = 8;

inline bool activations_on(const TrialSpec& s) {
  return s.quantization.activations.bits < 16;
}
inline bool cache_on(const TrialSpec& s) {
  return s.quantization.kv_cache.bits < 16;
}
inline bool weights_on(const TrialSpec& s) {
  return s.quantization.weights.bits < 16;
}
inline bool keeps_statistics(const TrialSpec& s) {
  return std::find(s.evaluate.begin(), s.evaluate.end(), "slot_error") != s.evaluate.end();
}
// A number among the method's options.
inline double method_option(const TrialSpec& s, const char* key, double fallback) {
  const Json& options = s.quantization.method_options;
  const auto found = options.find(key);
  return found != options.end() && found->is_number() ? found->get<double>() : fallback;
}
// Methods that rotate every linear input online, with the weights that read it.
inline bool rotates_inputs(const TrialSpec& s, const ModelShape& m) {
  const std::string& method = s.quantization.method;
  if (method == "hadanorm") return true;
  if (method == "viditq") {
    const auto recipe = s.quantization.method_options.find("recipe");
    return recipe == s.quantization.method_options.end() || *recipe == "2025";
  }
  return method == "quarot" && m.makes_images();
}
// Methods that fold rotations into the weights and leave Hadamard transforms at the input of o_proj and down_proj.
inline bool rotates_residual(const TrialSpec& s, const ModelShape& m) {
  const std::string& method = s.quantization.method;
  return !m.makes_images() && (method == "quarot" || method == "spinquant");
}
// One of several transforms for every slot (transforms/per_slot.h, which the front of a sweep does not need otherwise).
inline bool transform_per_slot(const TrialSpec& s) {
  return s.quantization.sequence.transform == "per_slot";
}
// Their names without levels, each as often as it stands there; of auto every number of levels that leaves a row.
inline std::vector<std::string> candidate_transforms(const TrialSpec& s, const ModelShape& m) {
  std::vector<std::string> names;
  const Json& options = s.quantization.sequence.options;
  if (const auto given = options.find("candidates"); given != options.end() && given->is_array()) {
    for (const Json& name : *given)
      names.push_back(name.get<std::string>().substr(0, name.get<std::string>().find('/')));
    return names;
  }
  const double n = evaluated(s, m).length;
  const double levels = m.makes_images() ? std::floor(std::log2(n) / 2) : std::ceil(std::log2(n));
  const char* grid = m.makes_images() ? "2d" : "";
  names.emplace_back("identity");
  names.insert(names.end(), static_cast<std::size_t>(std::max(levels, 0.0)), std::string("haar").append(grid));
  names.push_back(std::string("dct").append(grid));
  return names;
}
// A dense basis for every slot. That of packets is calibrated too, but chosen among bases that cost what Haar costs.
inline bool dense_transform(const TrialSpec& s, const Catalog& catalog) {
  const std::string& name = s.quantization.sequence.transform;
  const PluginInfo* info = catalog.find(PluginKind::sequence_transform, name);
  return info != nullptr && info->needs_calibration && name != "identity" && name != "haar_packets" &&
         !transform_per_slot(s);
}
inline bool calibrated_weights(const TrialSpec& s, const Catalog& catalog) {
  const PluginInfo* info = catalog.find(PluginKind::weight_quantizer, s.quantization.weights.quantizer);
  return weights_on(s) && info != nullptr && info->needs_calibration;
}
inline bool reads_block_inputs(const TrialSpec& s, const Catalog& catalog) {
  const PluginInfo* info = catalog.find(PluginKind::method, s.quantization.method);
  return info != nullptr && info->needs_block_inputs;
}
// Of one layer, that have a transform.
inline double quantized_slots(const TrialSpec& s, const ModelShape& m) {
  double slots = 0;
  for (const SiteShape& site : site_shapes(m)) slots += activations_on(s) && !site.context ? 1 : 0;
  if (!m.makes_images() && cache_on(s) && s.quantization.kv_cache.transformed) slots += 2;
  return slots;
}

}  // namespace stamp::cost
