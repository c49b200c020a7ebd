// What the results of shared work depend on, in full: the keys under which prepared networks are reused within a run
// and calibration results between runs. A missing ingredient would hand one trial the result of another, silently.
#pragma once
#include "base/json.h"
#include "config/spec.h"

namespace stamp {

// Seeds of a trial; repeat 0 takes them as written, later repeats derive their own.
std::uint64_t method_seed(const TrialSpec& spec);
CalibrationSpec calibration_of(const TrialSpec& spec);  // with the repeat's seed
ImageSpec images_of(const TrialSpec& spec);             // likewise

// Identity of the files and the machine's arithmetic: `model` and `items` are the descriptions of a Model and a
// Workload.
struct KeyContext {
  Json model;
  Json calibration;        // null when no calibration text is needed
  int threads = 1;         // sums depend on the number of threads in their last digits
  std::string arithmetic;  // LibTorch version and CPU capability
};

Json reference_key(const KeyContext& context, const Json& data, const std::vector<std::string>& metrics);
Json generated_key(const KeyContext& context, const Json& items);  // of a GeneratedWorkload
Json channel_maxima_key(const KeyContext& context);
// Method, weights, and whether the key cache is quantized; calibration where `calibrated`; the grids of activations and
// caches where the method was `trained` under them.
Json prepared_key(const KeyContext& context, const TrialSpec& spec, bool calibrated, bool trained);
// A part of what a trained method keeps. How weights get onto their grid (quantizer, clip search) is not in it.
Json training_key(const KeyContext& context, const TrialSpec& spec, const Json& part);
// Means of all linear inputs of a prepared network, without the first `skip` tokens.
Json channel_means_key(const KeyContext& context, const Json& prepared, std::int64_t skip);
// The calibrated basis of a slot of a prepared network. `depends`: basis_depends() of the slot; null for bases of the
// token correlation, which depend on nothing else.
// `shift`: the trial's activations.shift, which the rows have lost.
Json basis_key(const KeyContext& context, const Json& prepared, std::int64_t skip, const std::string& slot,
               const Json& depends = Json(), const std::string& shift = "none");
Json row_energies_key(const KeyContext& context, const Json& prepared, const TrialSpec& spec, std::int64_t tokens);

}  // namespace stamp
