// Are images of the class that was asked for? Specification methods 13.4.
#pragma once
#include "eval/evaluator.h"

namespace stamp {

struct ClassAccuracy {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "class_accuracy";
    i.summary =
        "share of images that a small classifier of the same data set takes for the class that was asked for; for "
        "class-conditional models of 32 x 32 pixels";
    i.source = "own; the classifier: scripts/dit/classifier.py";
    i.reads = "images";
    return i;
  }
  static std::unique_ptr<Evaluator> make(const EvaluatorContext& context);
};

}  // namespace stamp
