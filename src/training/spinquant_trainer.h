// The training of SpinQuant's rotations: Cayley descent on the loss of token sequences, with a state that can be put
// away and taken up again. Specification methods 7.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "training/spinquant_objective.h"

namespace stamp::training {

struct SpinQuantSchedule {
  std::int64_t steps = 100;
  std::int64_t batch = 1;   // sequences a step
  double rate = 1.5;        // of the first step, down to 0 along half a cosine
  std::uint64_t seed = 0;   // of the order of sequences and of the re-orthogonalizations
  std::int64_t probes = 4;  // sequences whose loss is measured before and after
  std::int64_t checkpoint_every = 10;
};

struct SpinQuantState {
  std::int64_t steps = 0;  // done
  Rotations rotations;
  std::vector<double> losses;  // of each step, before its update
  double before = 0;           // loss of the probe sequences at the start
  double after = 0;            // and at the end; 0 until all steps are done
};

// Bytes of a state and back; std::nullopt for bytes that are not a state of such sizes.
std::string bytes_of(const SpinQuantState& state);
std::optional<SpinQuantState> state_from(std::string_view bytes, const Rotations& shapes);

struct SpinQuantWatch {
  std::function<void(const SpinQuantState&)> keep;                  // every `checkpoint_every` steps and at the end
  std::function<void(std::int64_t done, std::int64_t total)> step;  // may throw to stop
};

// From `state` (fresh or kept) to the end. ids: n x s, the training sequences; every step takes the next `batch` of
// them, in an order shuffled anew for each round. The result depends on the state's steps only, not on where it was put
// away. TrialError ("training") when a loss or a gradient is not finite.
SpinQuantState train_rotations(const SpinQuantObjective& objective, const at::Tensor& ids,
                               const SpinQuantSchedule& schedule, SpinQuantState state, const SpinQuantWatch& watch);

}  // namespace stamp::training
