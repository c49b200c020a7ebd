// Keys and values that outlive one run of a network: the rows of a later run continue the sequence of the earlier ones.
// src/decoding implements it; a network only hands over what its attention would read.
#pragma once
#include <cstdint>

#include "base/matrix.h"
#include "models/kernels/attention.h"

namespace stamp {

class KvCache {
 public:
  virtual ~KvCache() = default;
  virtual std::int64_t tokens() const = 0;  // rows that every layer holds: the position of the next row
  // Once a layer and run. k, v: n x (nkv * hd), after RoPE and head rotation, not quantized; they are added to the
  // layer's rows. q, out: n x (nh * hd); out may be q. Row i attends to everything up to itself as the cache keeps it.
  virtual void attend(std::int64_t layer, ConstMatrixView q, ConstMatrixView k, ConstMatrixView v,
                      const AttentionShape& shape, MatrixView out) = 0;
};

}  // namespace stamp
