// Which later tokens a token's quantization error can depend on, and losses told apart by it (diagnostic D2).
// Specification methods 2.11.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "transforms/sequence_transform.h"

namespace stamp {

// For every token t the largest u - t such that a row of L mixes t with a later token u; 0 where no row does. From
// the dense twin: s^2 values are read.
std::vector<std::int64_t> look_ahead(const SequenceTransform& l);

// Mean and standard error of a set of losses; the error is that of independent positions, 0 for fewer than two.
struct LossGroup {
  std::int64_t count = 0;
  double mean = 0, standard_error = 0;
};

// D2 at the finest level of Haar: tokens skip, skip + 1 | skip + 2, skip + 3 | ... are pairs. loss[t] is the loss of
// predicting token t + 1 from position t, so the left member of a pair is asked for its right member, with which it
// shares a row: if the row leaks, left positions do better than right ones.
struct ParitySplit {
  LossGroup left, right;
  LossGroup unpaired;    // skipped tokens, a carried last token, and a left member whose right one has no loss
  LossGroup difference;  // right minus left, pair by pair: its standard error is that of a paired comparison
};
// `losses`: windows one after the other, `window` positions each (losses.size() a multiple); every window starts with
// token 0. Losses that are not finite stay outside, with their pair. std::logic_error for misuse.
ParitySplit parity_split(std::span<const double> losses, std::int64_t window, std::int64_t skip);

// The same for any transform: positions that share a row with the very token they are asked for (look_ahead at least
// 1), against the others. One window's look-ahead serves all windows.
struct LookAheadSplit {
  LossGroup seeing, blind;
};
LookAheadSplit look_ahead_split(std::span<const double> losses, std::int64_t window,
                                std::span<const std::int64_t> look_ahead);

}  // namespace stamp
