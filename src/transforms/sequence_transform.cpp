#include "transforms/sequence_transform.h"

#include <algorithm>
#include <stdexcept>

#include "base/error.h"
#include "base/text.h"
#include "transforms/vector.h"

namespace stamp {
namespace {

// 64 columns x 2048 tokens = 512 KiB: half of a common second-level cache, and whole cache lines of every row.
constexpr std::int64_t tile_columns = 64;

template <typename Step>
void over_tiles(const SequenceTransform& l, MatrixView x, Step step) {
  if (x.rows != l.tokens())
    throw std::logic_error("sequence transform of " + std::to_string(l.tokens()) + " tokens on " +
                           std::to_string(x.rows) + " rows");
  if (l.is_identity() || x.cols == 0) return;
  if (l.whole()) {
    std::vector<float> scratch(l.scratch_floats(x.cols));
    step(x, scratch.data());
    return;
  }
  const std::int64_t tiles = (x.cols + tile_columns - 1) / tile_columns;
#pragma omp parallel if (x.rows * x.cols > 16384)
  {
    std::vector<float> scratch(l.scratch_floats(std::min(tile_columns, x.cols)));
#pragma omp for schedule(dynamic, 1)
    for (std::int64_t t = 0; t < tiles; ++t) {
      const std::int64_t begin = t * tile_columns;
      const MatrixView tile{x.data + begin, x.rows, std::min(tile_columns, x.cols - begin), x.stride};
      step(tile, scratch.data());
    }
  }
}

}  // namespace

bool needs_basis(const std::string& name) {
  const auto& all = sequence_transforms();
  return std::any_of(all.begin(), all.end(),
                     [&](const SequenceTransformPlugin& p) { return p.info.name == name && p.info.needs_calibration; });
}

std::unique_ptr<SequenceTransform> make_sequence_transform(const std::string& name,
                                                           const SequenceTransformRequest& request) {
  std::vector<std::string> names;
  for (const auto& plugin : sequence_transforms()) {
    names.push_back(plugin.info.name);
    if (plugin.info.name != name) continue;
    PlanFacts facts;
    facts.tokens = request.tokens;
    facts.context = request.tokens;
    facts.grid = request.grid_width > 0;
    facts.calibration_samples = request.basis ? 1 : 0;
    facts.options = request.options;
    if (request.tokens < 1) throw TrialError("refused", name + " needs at least one token");
    if (plugin.info.refuse)
      if (const std::string reason = plugin.info.refuse(facts); !reason.empty())
        throw TrialError("refused", "sequence transform " + name + ": " + reason);
    return plugin.make(request);
  }
  throw TrialError("refused", "unknown sequence transform \"" + name + "\"" + did_you_mean(name, names) +
                                  "; known: " + join(names, ", "));
}

void transform_forward(const SequenceTransform& l, MatrixView x) {
  over_tiles(l, x, [&](MatrixView tile, float* scratch) { l.forward(tile, scratch); });
}

void transform_inverse(const SequenceTransform& l, MatrixView x) {
  over_tiles(l, x, [&](MatrixView tile, float* scratch) { l.inverse(tile, scratch); });
}

}  // namespace stamp
