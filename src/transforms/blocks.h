// Transforms within blocks of c consecutive tokens: a row mixes in at most the c - 1 tokens behind the one it is used
// for, so a chunk of c tokens can be quantized as soon as it is there. Specification methods 2.11 (why that matters).
//
// Rows are taken round robin, coarsest first: row 0 of every block in the order of the blocks, then row 1 of every
// block, ..., where row j of a block is its j-th coarsest coefficient. "The first k rows" therefore gives every block
// the same number of high-precision rows, but for one; with k below the number of blocks the later blocks get none.
#pragma once
#include "transforms/sequence_transform.h"

namespace stamp {
// Haar at full depth in every block; any block length and number of tokens (odd rule of haar, specification 2.5).
SequenceTransformPlugin haar_blocks_plugin();
// DCT-II in every block, blocks of at most 256 tokens; a short last block has a DCT of its own length.
SequenceTransformPlugin dct_blocks_plugin();
}  // namespace stamp
