// What one machine does in a second, in the units in which the cost of a trial is counted (sweep/cost.h). Measured in
// a few seconds by `stamp-worker speed`, once a machine and build, and kept in the cache folder.
#pragma once
#include <map>
#include <string>

#include "base/json.h"

namespace stamp {

struct MachineSpeed {
  int threads = 1;
  // Operations a second (two a multiply-add).
  std::map<std::int64_t, double> linear;  // float32 products as the linear layers do them, by input width
  double double_product = 0;              // double products: rotations folded into weights
  double attention = 0;                   // 4 head_dim operations a query and visible key
  // Seconds a value.
  double row_work = 0;                      // norms, RoPE, residual sums
  double gate = 0;                          // silu(gate) * up
  double exponential = 0;                   // one logit in a loss
  double hadamard = 0;                      // an online feature transform
  std::map<std::string, double> quantizer;  // transform there and back with 4-bit rounding between, by transform
  double statistics = 0;                    // more, where statistics of a slot are kept
  double clip_search = 0, rounding = 0;     // a weight on its grid, with and without the search
  double load = 0, pack = 0;                // a weight from the mapped file (bfloat16), into the library's layout
  double eigen = 0;                         // n^3-th part of an n x n eigenproblem
  double program_bytes = 0;                 // resident memory of the worker before a model is opened

  bool known() const { return !linear.empty(); }
  // Between the measured widths on a logarithmic scale, the nearest one outside.
  double linear_at(double width) const;
  double quantizer_at(
      const std::string& transform) const;  // that of the slowest known one for a transform not measured
};

Json to_json(const MachineSpeed& speed);
MachineSpeed machine_speed_from_json(const Json& json);  // not known() when something is missing or not positive

}  // namespace stamp
