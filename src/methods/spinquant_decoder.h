// A network as SpinQuant's training sees it.
#pragma once
#include "models/network.h"
#include "training/spinquant_objective.h"

namespace stamp {

// `network` must outlive the result; its final norm is folded, its blocks and embedding are as the checkpoint has them.
// Blocks that are not loaded are loaded when asked for and released again. TrialError: not a decoder whose blocks are
// known.
training::FrozenDecoder frozen_decoder(Network& network);

}  // namespace stamp
