// A method: feature transform + where it is folded. It changes a freshly built network's weights and online parts;
// the weight quantizer, the sequence transform and the activation quantizers come afterwards and are not its business.
// It changes one block at a time, so that a model larger than memory can be walked through.
// info() is torch-free (the light program links only it), make() lives in the source.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/plugin.h"
#include "config/spec.h"

namespace at {
class Tensor;
}

namespace stamp {

class Network;
class Workload;

// Trained parameters between runs, addressed by everything that can change them. The session puts the model, the
// calibration items and the trial's settings into every key; `part` names what is the method's own: a block, a step.
class MethodStore {
 public:
  virtual ~MethodStore() = default;
  virtual std::optional<std::string> load(const Json& part) = 0;
  virtual void store(const Json& part, std::string_view bytes) = 0;
};

struct MethodContext {
  Json options = Json::object();  // complete
  QuantizationSpec quantization;  // of the trial, for what depends on bits and grids
  std::uint64_t seed = 0;
  std::function<void(const std::string&)> warn;  // goes into the record

  // Per-channel absolute maxima of a slot's input over the calibration set, token domain, full-precision model. Of the
  // current block's slots, from block() only. Where info().needs_calibration.
  std::function<std::vector<float>(const std::string& slot)> channel_maxima;

  // Calibration items; null unless info().needs_calibration, needs_block_inputs or trained.
  const Workload* calibration = nullptr;
  // Rows of the full-precision model entering the current block (s x h), of calibration item i; from block() only.
  // Where info().needs_block_inputs. Not to be changed.
  std::function<at::Tensor(std::int64_t i)> block_input;

  // For methods that train. Never null.
  MethodStore* store = nullptr;
  std::function<void(std::int64_t done, std::int64_t total)> step;  // progress
  // One entry of the training's history for the record: {"block": 3, "loss": [...]} or {"step": 10, "loss": 2.9}.
  std::function<void(Json entry)> record_training;
};

// A method at work on one network: block(i) for every block in order, weights loaded and plain. Sequence: start(), then
// block(0), block(1), ...
class MethodRun {
 public:
  virtual ~MethodRun() = default;
  virtual void block(std::size_t index) = 0;
};

class Method {
 public:
  virtual ~Method() = default;
  // Does what concerns the network as a whole: its ends, training of what all blocks share. In a streamed network no
  // block is loaded then.
  virtual std::unique_ptr<MethodRun> start(Network& network, const MethodContext& context) const = 0;
};

}  // namespace stamp
