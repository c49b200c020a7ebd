// Splitting a text into words. Specification: models 4.1.
#pragma once
#include <string_view>
#include <vector>

#include "tokenizer/pattern.h"

namespace stamp {

// One step of the pre-tokenizer. Every piece of the step before is split on its own.
struct SplitStep {
  enum class Keep { isolated, removed, with_previous, with_next };  // what becomes of a match
  Pattern pattern;
  Keep keep = Keep::isolated;
  bool invert = false;  // what lies between matches counts as the match
};

// Appends the parts of `piece`, none of them empty.
void split(std::string_view piece, const SplitStep& step, Pattern::Search& search, std::vector<std::string_view>& out);

}  // namespace stamp
