// How long and how large, in words that admit what they are: "about 9 min, 1.4 GB".
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "sweep/cost.h"
#include "sweep/plan.h"

namespace stamp {

// What is known of a trial's model and text without opening either fully; zeros = unknown.
struct TrialSize {
  ModelShape shape;
  double text_tokens = 0;      // of the whole evaluation text, for `windows: 0`
  double question_tokens = 0;  // of the zero-shot items it answers
};
using SizeOf = std::function<TrialSize(const TrialSpec&)>;

struct Machine {
  MachineSpeed speed;          // known(): measured here, or assumed_speed()
  bool measured = false;       // by the worker's micro-benchmark
  double available_bytes = 0;  // memory, for `model.streamed: auto`; 0 = unknown
};

struct TrialEstimate {
  std::string id;
  bool streamed = false;
  Parts seconds, bytes;
};

struct Estimate {
  double seconds = 0;       // of everything still to run
  double memory_bytes = 0;  // largest single trial
  std::size_t unknown = 0;  // trials of models that nothing is known of
  // What time rests on: finished trials of the same model (every predicted phase scaled by how far earlier predictions
  // were off), else the machine's measured speed, else its number of cores.
  std::size_t scaled = 0;                // trials whose time was scaled by records
  std::vector<TrialEstimate> trials;     // those still to run, in their order
  Parts parts() const;                   // seconds by phase over all of them
  const TrialEstimate* largest() const;  // null when there is none
};

Estimate estimate(const Plan& plan, const ReadRecords& records, const SizeOf& size_of, const Catalog& catalog,
                  const Machine& machine);
// From the number of cores and the width of vectors alone.
MachineSpeed assumed_speed();

// `36 trials: 30 new, 6 done; 4 excluded ("..."); 1 model, 3 calibrations; about 9 min, 1.4 GB`
std::string plan_sentence(const Plan& plan, const SharedWork& work, const Estimate& estimate);

}  // namespace stamp
