// How long and how large, in words that admit what they are: "about 9 min, 1.4 GB".
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "sweep/plan.h"

namespace stamp {

// What is known of a trial's model and text without opening either fully; zeros = unknown.
struct TrialSize {
  double parameters = 0;
  double vocabulary = 0;
  double text_tokens = 0;  // of the whole evaluation text, for `windows: 0`
};
using SizeOf = std::function<TrialSize(const TrialSpec&)>;

struct Estimate {
  double seconds = 0;       // of everything still to run
  double memory_bytes = 0;  // largest single trial
  std::size_t unknown = 0;  // trials for which nothing is known
  bool measured = false;    // every trial's time comes from finished trials of the same model
};

// Finished trials of the same model give seconds a token; without them, arithmetic: two operations a parameter and
// token at `flops_per_second`, the reference pass and the weights' clip search included, and the weights in float32
// plus the logits of a window.
Estimate estimate(const Plan& plan, const ReadRecords& records, const SizeOf& size_of, double flops_per_second);
double assumed_flops_per_second();  // of this machine: cores and vector width

// `36 trials: 30 new, 6 done; 4 excluded ("..."); 1 model, 3 calibrations; about 9 min, 1.4 GB`
std::string plan_sentence(const Plan& plan, const SharedWork& work, const Estimate& estimate);

}  // namespace stamp
