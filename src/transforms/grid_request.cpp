#include "transforms/grid_request.h"

#include "base/error.h"

namespace stamp {

std::function<std::string(const PlanFacts&)> refuse_plain_sequences(const std::string& plain) {
  return [plain](const PlanFacts& facts) -> std::string {
    if (facts.grid) return "";
    return "it needs the tokens of an image, line by line on their grid, and those of a text are a plain sequence; "
           "use " +
           plain + ", or metrics of images";
  };
}

void require_grid(const std::string& name, const std::string& plain, const SequenceTransformRequest& r) {
  if (r.grid_height > 0 && r.grid_width > 0 && r.grid_height * r.grid_width == r.tokens) return;
  const std::string what = r.grid_width <= 0 ? "are a plain sequence"
                                             : "do not fill a grid of " + std::to_string(r.grid_height) + " x " +
                                                   std::to_string(r.grid_width);
  throw TrialError("refused", "sequence transform " + name +
                                  " needs the tokens of an image, line by line on their grid; " +
                                  std::to_string(r.tokens) + " tokens " + what + ", for which there is " + plain);
}

}  // namespace stamp
