// What a session builds its parts with. The worker takes the registered ones, tests hand in their own, so that
// nothing in the engine depends on a particular model or method.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/plugin.h"
#include "base/text.h"
#include "config/spec.h"

namespace stamp {

class Model;
class Method;
class Evaluator;
class WeightQuantizer;
struct EvaluatorContext;

template <class Make>
struct EnginePlugin {
  PluginInfo info;
  std::function<Make> make;
};
using MethodPlugin = EnginePlugin<std::unique_ptr<Method>()>;
using MetricPlugin = EnginePlugin<std::unique_ptr<Evaluator>(const EvaluatorContext&)>;
using WeightQuantizerPlugin = EnginePlugin<std::unique_ptr<WeightQuantizer>()>;

struct Plugins {
  std::function<std::unique_ptr<Model>(const ModelSpec&)> open_model;
  std::vector<MethodPlugin> methods;
  std::vector<MetricPlugin> metrics;
  std::vector<WeightQuantizerPlugin> weight_quantizers;
};
Plugins standard_plugins();

// TrialError ("unsupported") with the nearest name.
template <class Make>
const EnginePlugin<Make>& find_plugin(const std::vector<EnginePlugin<Make>>& list, const std::string& name,
                                      const std::string& kind) {
  std::vector<std::string> names;
  for (const auto& p : list) {
    if (p.info.name == name) return p;
    names.push_back(p.info.name);
  }
  throw TrialError("unsupported",
                   "unknown " + kind + " \"" + name + "\"; known: " + join(names, ", ") + did_you_mean(name, names));
}

}  // namespace stamp
