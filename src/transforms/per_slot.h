// A transform for every slot out of a list, chosen together with the slot's bits from calibrated energies. What a list
// may hold and what it means at a length stands here; energies are measured by the engine (engine/slot_choice.h), and
// the choice is that of the allocation (quant/joint_allocation.h).
#pragma once
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "transforms/sequence_transform.h"

namespace stamp {

inline constexpr const char* per_slot_name = "per_slot";

struct TransformCandidate {
  std::string label;              // as in the list, with the number of levels: "haar/5"
  std::string transform;          // "haar"
  Json options = Json::object();  // complete
};

// What a request's option `candidates` comes to: NAME/n has n levels, NAME those of its `levels: auto`; auto is
// identity, Haar with every number of levels from 1 to the most, and the DCT, on a grid those along both sides. In the
// order of the option's choices, cheapest first, so that the first of several equally good ones costs least; every
// transform once. TrialError ("refused") for names that are no candidates.
std::vector<TransformCandidate> transform_candidates(const SequenceTransformRequest& request);

// How many slots have each of the transforms named, the most frequent first, then by name.
std::vector<std::pair<std::string, std::size_t>> by_frequency(const std::vector<std::string>& labels);

// Candidates are those of `others` that need no calibration. The transform is made from a request whose `basis` is one
// number: the place of the slot's candidate among transform_candidates().
SequenceTransformPlugin per_slot_plugin(const std::vector<SequenceTransformPlugin>& others);

}  // namespace stamp
