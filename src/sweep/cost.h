// Time and memory of one trial before it runs, counted from the structure of the model and of what the trial asks for:
// products, values quantized, weights searched, rows kept. docs/large-models.md explains the parts.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/plugin.h"
#include "config/spec.h"
#include "sweep/machine_speed.h"
#include "sweep/model_shape.h"

namespace stamp {

// What a trial does beyond its evaluation pass, given what earlier trials and the cache left behind.
struct TrialWork {
  double items = 1;       // passes of the quantized network: evaluation items, steps of images
  bool open = true;       // model and texts
  bool reference = true;  // a full-precision pass
  bool prepare = true;    // method and weights
  bool maxima = false;    // channel maxima over the calibration items
  bool means = false;     // channel means of the prepared network over the calibration items
  bool bases = false;     // a basis for every slot, or its rows under every candidate
  bool energies = false;  // row energies for every slot
  std::optional<double> reference_items = std::nullopt;  // passes of the full-precision one, where not as many
  double made_items = 0;                                 // more of its passes, which make the calibration items
};

using Parts = std::vector<std::pair<std::string, double>>;  // in the order in which they are shown
double sum(const Parts& parts);

// Seconds by phase, as in records: load, reference, calibrate, prepare, run.
Parts trial_seconds(const TrialSpec& spec, const Catalog& catalog, const ModelShape& shape, const TrialWork& work,
                    const MachineSpeed& speed);
// What is resident at the moment of the peak, in bytes: program, weights, ..., of a trial in memory or streamed.
Parts trial_memory(const TrialSpec& spec, const Catalog& catalog, const ModelShape& shape, double items, bool streamed,
                   double program_bytes);

// model.streamed as it is; where that is `auto`, whether the float32 weights alone would take more than two thirds of
// `available_bytes` (0: unknown, never). The engine and the planner ask the same question here.
bool runs_streamed(const ModelSpec& model, const ModelShape& shape, double available_bytes);

}  // namespace stamp
