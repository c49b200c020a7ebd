// What transforms on a token grid ask of a request.
#pragma once
#include <string>

#include "transforms/sequence_transform.h"

namespace stamp {

// TrialError ("refused") where the tokens do not fill a grid; it names `plain`, the transform for plain sequences.
void require_grid(const std::string& name, const std::string& plain, const SequenceTransformRequest& request);

}  // namespace stamp
