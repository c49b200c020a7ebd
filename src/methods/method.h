// A method: feature transform + where it is folded. It changes a freshly built network's weights and online parts;
// the weight quantizer, the sequence transform and the activation quantizers come afterwards and are not its business.
// info() is torch-free (the light program links only it), make() lives in the source.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "base/plugin.h"

namespace stamp {

class Network;

struct MethodContext {
  Json options = Json::object();  // complete
  // Per-channel absolute maxima of a slot's input over the calibration set, token domain, full-precision model.
  std::function<std::vector<float>(const std::string& slot)> channel_maxima;
  bool key_cache_quantized = true;  // online q/k rotations only then
  std::uint64_t seed = 0;
  std::function<void(const std::string&)> warn;  // goes into the record
};

class Method {
 public:
  virtual ~Method() = default;
  virtual void prepare(Network& network, const MethodContext& context) const = 0;
};

}  // namespace stamp
