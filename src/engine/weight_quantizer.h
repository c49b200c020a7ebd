// Replaces the weights of every linear site by values on a grid, after the method has changed them and before they are
// packed. The whole network comes in, because sequential rules (a layer calibrated on the outputs of quantized earlier
// ones) must run it. Adding one: header with info() and make(), source, one line in engine/weight_quantizers.h.
#pragma once
#include <functional>
#include <string>

#include "config/spec.h"

namespace stamp {

class Network;

struct WeightContext {
  WeightSpec spec;                                                  // bits < 16
  std::function<void(std::int64_t done, std::int64_t total)> step;  // layers, for progress; may be empty
  std::function<void(const std::string&)> warn;
};

class WeightQuantizer {
 public:
  virtual ~WeightQuantizer() = default;
  virtual void quantize(Network& network, const WeightContext& context) const = 0;
};

}  // namespace stamp
