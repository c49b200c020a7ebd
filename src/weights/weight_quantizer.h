// Replaces the weights of one block after the other by values on a grid, after the method has changed them and before
// they are packed. Adding one: header with info() and make(), source, one line in weights/register.h.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "base/plugin.h"
#include "config/spec.h"

namespace stamp {

class Network;
class Workload;
struct BlockState;

struct WeightContext {
  WeightSpec spec;  // bits < 16; options complete
  // For quantizers that need calibration: one state for every calibration item, the residual rows that enter the block,
  // which come from the blocks before it as they were quantized. quantize() must leave them as what the quantized block
  // gives, activations in full precision.
  const Workload* calibration = nullptr;
  std::vector<BlockState>* states = nullptr;
  std::function<void(std::int64_t done, std::int64_t total)> step;  // within the block, for progress; may be empty
  std::function<void(const std::string&)> warn;
};

class WeightQuantizer {
 public:
  virtual ~WeightQuantizer() = default;
  virtual void quantize(Network& network, std::size_t block, const WeightContext& context) const = 0;
};

}  // namespace stamp
