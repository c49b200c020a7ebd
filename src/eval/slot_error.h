// Activation error of every slot beside Theorem 1: error, B1 to B5, ratio, SQNR, energy share, bits.
// Specification methods 1.6, 2.6.
#pragma once
#include "eval/evaluator.h"

namespace stamp {

struct SlotError {
  static PluginInfo info() {
    PluginInfo i;
    i.name = "slot_error";
    i.summary = "activation error of every slot beside the bound of Theorem 1";
    i.source = "STaMP Theorem 1; specification methods 2.6";
    i.reads = "items";
    return i;
  }
  static std::unique_ptr<Evaluator> make(const EvaluatorContext& context);
};

}  // namespace stamp
