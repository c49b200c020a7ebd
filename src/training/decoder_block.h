// One block of a loaded decoder as the differentiable block sees it.
#pragma once
#include <cstddef>

#include "training/block.h"

namespace stamp {
class Network;
}

namespace stamp::training {

struct DecoderBlock {
  BlockWeights weights;  // copies: training never writes into the network
  BlockShape shape;
  std::vector<float> frequencies;  // of RoPE, hd / 2
};

// The weights must be there and plain. TrialError when the network is no decoder; `method` names who asks.
DecoderBlock read_block(Network& network, std::size_t block, const std::string& method);

}  // namespace stamp::training
