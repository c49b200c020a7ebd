// Causal scaled-dot-product attention in float32, blocked with an online softmax (Milakov and Gimelshein 2018; the
// blocking is FlashAttention's, Dao 2022), for grouped-query attention and sliding windows. Specification models 2.3.
#pragma once
#include <cstdint>

#include "base/matrix.h"

namespace stamp {

struct AttentionShape {
  std::int64_t heads = 1;     // nh
  std::int64_t kv_heads = 1;  // nkv, divides nh; query head j reads KV head j / (nh / nkv)
  std::int64_t head_dim = 1;  // hd
  std::int64_t window = 0;    // keys a query sees, itself included; 0 = all before it
  float scale = 1;            // of the scores, hd^-0.5 for Llama
  float softcap = 0;  // scores become softcap * tanh(score / softcap) before the mask (Gemma 2); 0 = as they are
};

// q: s x (nh * hd); k, v: (p + s) x (nkv * hd); out: s x (nh * hd), may be q itself. Keys are positions 0..p+s-1, query
// row i is position p + i: p = 0 for a whole sequence, p > 0 for rows that continue one (decoding, shared prefixes).
// Threaded over KV heads and blocks of queries; the result does not depend on the number of threads.
void causal_attention(ConstMatrixView q, ConstMatrixView k, ConstMatrixView v, const AttentionShape& shape,
                      MatrixView out);

}  // namespace stamp
