// Tensors of a decoder's checkpoint as float32. Specification models 1.7, 3.2.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "formats/checkpoint.h"
#include "models/info/decoder_tensors.h"

namespace stamp {

// A checkpoint, its configuration and where its tensors lie: checked once, shared by all networks built from it.
class DecoderSource {
 public:
  explicit DecoderSource(std::shared_ptr<const Checkpoint> checkpoint);  // DataError
  const Checkpoint& checkpoint() const { return *checkpoint_; }
  const DecoderConfig& config() const { return config_; }
  const DecoderTensors& tensors() const { return tensors_; }
  std::vector<float> rope_frequencies() const;          // hd / 2
  std::vector<float> sliding_rope_frequencies() const;  // of layers with a window; empty where they have no own RoPE
  // The weight of an RMS norm as it multiplies: with the one that some checkpoints leave out.
  at::Tensor load_norm(const TensorInfo& tensor) const;

 private:
  std::shared_ptr<const Checkpoint> checkpoint_;
  DecoderConfig config_;
  DecoderTensors tensors_;
};

// DataError, with the tensor and its type, where the values are no numbers with a fraction; so in all that follow.
at::Tensor load_matrix(const TensorInfo& tensor);  // rows x columns
at::Tensor load_vector(const TensorInfo& tensor);  // elements
// A q or k projection whose rows ggml stored in rotation pairs: within a head of hd rows, HF row p * hd / 2 + j is
// stored as row 2 j + p. `tensor` is (n * hd) x columns, or a bias of n * hd elements.
at::Tensor load_unpaired(const TensorInfo& tensor, std::int64_t head_dim);
// Rows `ids` of a matrix, ids.size() x columns; the matrix itself stays in the mapped file.
void gather_rows(const TensorInfo& tensor, const std::int64_t* ids, std::int64_t count, float* out);

}  // namespace stamp
