// The rounding that a trial asks for, as training sees it.
#pragma once
#include "config/spec.h"
#include "training/fake_quantize.h"

namespace stamp::training {

FakeQuantize rule_of(const ActivationSpec& spec);
FakeQuantize rule_of(const CacheSpec& spec, std::int64_t head_dim);
FakeQuantize rule_of(const WeightSpec& spec);

}  // namespace stamp::training
