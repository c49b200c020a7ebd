// Puts what FlatQuant learned for a block into the network: weights, norms, online transforms, learned ranges.
// In exact arithmetic and without clip factors the network computes what it did. Specification methods 8.1, 8.2.
#pragma once
#include <cstddef>

#include "models/network.h"
#include "training/flatquant_block.h"

namespace stamp {

// Bits that the block was trained for: learned ranges apply to rows of at most so many.
struct FlatQuantBits {
  double activations = 4, cache = 4;
};

// The block's weights are loaded and plain. In double, rounded to float32 at the end.
void fold_flatquant(const ResidualRotation::AttentionBlock& sites, const training::FlatQuantBlock& learned,
                    const FlatQuantBits& bits);

}  // namespace stamp
