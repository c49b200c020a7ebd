// T5's encoder: configuration and positions. Specification: models 7.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "formats/checkpoint.h"

namespace stamp {

struct T5Config {
  std::int64_t vocabulary = 0;
  std::int64_t width = 0;         // d_model
  std::int64_t head_dim = 0;      // d_kv
  std::int64_t heads = 0;         // heads * head_dim may differ from width
  std::int64_t feed_forward = 0;  // d_ff
  std::int64_t layers = 0;
  std::int64_t buckets = 32, max_distance = 128;
  double eps = 1e-6;
  std::int64_t inner() const { return heads * head_dim; }
};
// config.json of a T5 v1.1 encoder. DataError: a value that is missing or impossible, another feed-forward layer than
// gated-gelu.
T5Config read_t5_config(const Checkpoint& checkpoint);

// The row of the bias table for a key `distance` tokens behind the query (negative: before it).
std::int64_t t5_bucket(std::int64_t distance, std::int64_t buckets, std::int64_t max_distance);

struct T5BlockTensors {
  const TensorInfo *attention_norm = nullptr, *q = nullptr, *k = nullptr, *v = nullptr, *o = nullptr;
  const TensorInfo *feed_forward_norm = nullptr, *gate = nullptr, *up = nullptr, *down = nullptr;
};
struct T5Tensors {
  const TensorInfo* embedding = nullptr;  // vocabulary x width
  const TensorInfo* bias = nullptr;       // buckets x heads
  std::vector<T5BlockTensors> blocks;
  const TensorInfo* final_norm = nullptr;
  std::int64_t parameters = 0;
};
// Pointers are into `checkpoint`. Tensors of a decoder, which whole T5 models have, are left alone. DataError names the
// first one that is missing or of another shape.
T5Tensors find_t5_tensors(const Checkpoint& checkpoint, const T5Config& config);

// `name` with exactly this shape; DataError. Shared by the text encoders.
const TensorInfo& tensor_of_shape(const Checkpoint& checkpoint, const std::string& name,
                                  const std::vector<std::int64_t>& shape);

}  // namespace stamp
