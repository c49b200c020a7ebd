// What transforms on a token grid ask of a request.
#pragma once
#include <functional>
#include <string>

#include "transforms/sequence_transform.h"

namespace stamp {

// PluginInfo::refuse of such a transform: refuses what is no image, naming `plain`, the transform for plain sequences.
std::function<std::string(const PlanFacts&)> refuse_plain_sequences(const std::string& plain);

// TrialError ("refused") where the tokens do not fill a grid; it names `plain`, the transform for plain sequences.
void require_grid(const std::string& name, const std::string& plain, const SequenceTransformRequest& request);

}  // namespace stamp
