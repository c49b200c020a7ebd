// The list of metrics: one line each, and one include.
#pragma once
#include "eval/perplexity.h"
#include "eval/slot_error.h"

namespace stamp {

template <class Visitor>
void for_each_metric(Visitor&& visit) {
  visit.template operator()<Perplexity>();
  visit.template operator()<SlotError>();
}

}  // namespace stamp
