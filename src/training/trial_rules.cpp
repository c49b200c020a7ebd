#include "training/trial_rules.h"

namespace stamp::training {

FakeQuantize rule_of(const ActivationSpec& spec) {
  FakeQuantize rule;
  rule.bits = spec.bits;
  rule.symmetric = spec.symmetric;
  rule.clip = spec.clip;
  rule.group = spec.granularity == "group" ? spec.group_size : 0;
  return rule;
}

FakeQuantize rule_of(const CacheSpec& spec, std::int64_t head_dim) {
  FakeQuantize rule;
  rule.bits = spec.bits;
  rule.symmetric = spec.symmetric;
  rule.clip = spec.clip;
  rule.group = spec.granularity == "head" ? head_dim : 0;
  return rule;
}

FakeQuantize rule_of(const WeightSpec& spec) {
  FakeQuantize rule;
  rule.bits = spec.bits;
  rule.symmetric = spec.symmetric;
  rule.group = spec.granularity == "group" ? spec.group_size : 0;
  return rule;
}

}  // namespace stamp::training
