#include "engine/plugins.h"
#include "eval/evaluator.h"
#include "eval/register.h"
#include "methods/method.h"
#include "methods/register.h"
#include "models/network.h"
#include "weights/register.h"
#include "weights/weight_quantizer.h"

namespace stamp {

Plugins standard_plugins() {
  Plugins plugins;
  plugins.open_model = open_model;
  for_each_method([&]<class T>() { plugins.methods.push_back({T::info(), [] { return T::make(); }}); });
  for_each_metric([&]<class T>() {
    plugins.metrics.push_back({T::info(), [](const EvaluatorContext& context) { return T::make(context); }});
  });
  for_each_weight_quantizer([&]<class T>() {
    plugins.weight_quantizers.push_back({T::info(), [] { return T::make(); }});
  });
  return plugins;
}

}  // namespace stamp
