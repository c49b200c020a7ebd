// Time and memory of one trial before it runs, counted from the structure of the model and of what the trial asks for:
// products, values quantized, weights searched, rows kept. docs/large-models.md explains the parts.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "base/plugin.h"
#include "config/spec.h"
#include "sweep/machine_speed.h"

namespace stamp {

// Of a decoder; zeros = unknown.
struct ModelShape {
  double layers = 0, hidden = 0, feed_forward = 0, heads = 0, kv_heads = 0, head_dim = 0, vocabulary = 0;
  double sliding_layers = 0, sliding_window = 0;
  bool known() const { return layers > 0 && hidden > 0; }
  double query_width() const { return heads * head_dim; }
  double kv_width() const { return kv_heads * head_dim; }
  double block_weights() const;  // of one layer
  double head_weights() const { return vocabulary * hidden; }
  double largest_weight() const;  // of one linear layer
};

// What a trial does beyond its evaluation pass, given what earlier trials and the cache left behind.
struct TrialWork {
  double items = 1;       // evaluation items
  bool open = true;       // model and texts
  bool reference = true;  // a full-precision pass
  bool prepare = true;    // method and weights
  bool maxima = false;    // channel maxima over the calibration items
  bool bases = false;     // a KLT basis for every slot
  bool energies = false;  // row energies for every slot
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

// From the description of a model (models/info); not known() when it has no dimensions.
ModelShape shape_of(const Json& description);

}  // namespace stamp
