// The list of weight quantizers: one line each, and one include. Free of LibTorch.
#pragma once
#include "weights/gptq.h"
#include "weights/rtn.h"

namespace stamp {

template <class Visitor>
void for_each_weight_quantizer(Visitor&& visit) {
  visit.template operator()<WeightRtn>();
  visit.template operator()<WeightGptq>();
}

}  // namespace stamp
