#include "models/decoder/decoder_loader.h"

#include <algorithm>

#include "base/error.h"
#include "base/memory.h"
#include "formats/dtype.h"
#include "models/info/architecture.h"
#include "models/tensors.h"

namespace stamp {

DecoderSource::DecoderSource(std::shared_ptr<const Checkpoint> checkpoint)
    : checkpoint_(std::move(checkpoint)),
      config_(read_decoder_config(*checkpoint_, decoder_family(*checkpoint_))),
      tensors_(find_decoder_tensors(*checkpoint_, config_)) {}

std::vector<float> DecoderSource::rope_frequencies() const {
  std::vector<float> divisors;
  if (const TensorInfo* tensor = tensors_.rope_divisors) {
    divisors.resize(static_cast<std::size_t>(tensor->elements()));
    read_rows(*tensor, 0, tensor->rows(), divisors.data());
  }
  return stamp::rope_frequencies(config_.head_dim, config_.rope, divisors);
}

std::vector<float> DecoderSource::sliding_rope_frequencies() const {
  if (!config_.sliding_rope) return {};
  return stamp::rope_frequencies(config_.head_dim, *config_.sliding_rope);
}

at::Tensor DecoderSource::load_norm(const TensorInfo& tensor) const {
  at::Tensor weight = load_vector(tensor);
  if (config_.norm_adds_one) {
    float* values = weight.data_ptr<float>();
    for (std::int64_t i = 0; i < weight.numel(); ++i) values[i] += 1;
  }
  return weight;
}

namespace {

// Asked before threads read rows: an exception that leaves a parallel region ends the process.
void require_numbers(const TensorInfo& tensor) {
  if (const std::string fault = fault_of_values(tensor); !fault.empty())
    throw DataError(std::string("tensor \"").append(tensor.name).append("\" ").append(fault));
}

}  // namespace

at::Tensor load_matrix(const TensorInfo& tensor) {
  require_numbers(tensor);
  const std::int64_t rows = tensor.rows(), columns = tensor.columns();
  at::Tensor out = fresh_matrix(rows, columns);
  float* to = out.data_ptr<float>();
  constexpr std::int64_t chunk = 64;
#pragma omp parallel for schedule(dynamic, 1)
  for (std::int64_t first = 0; first < rows; first += chunk)
    read_rows(tensor, first, std::min(chunk, rows - first), to + first * columns);
  if (tensor.mapped) drop_mapped(tensor.data, tensor.bytes);  // the file's pages have done their work
  return out;
}

at::Tensor load_vector(const TensorInfo& tensor) {
  return load_matrix(tensor).reshape({tensor.elements()});
}

at::Tensor load_unpaired(const TensorInfo& tensor, std::int64_t head_dim) {
  const bool is_bias = tensor.shape.size() == 1;
  const at::Tensor stored = is_bias ? load_vector(tensor).reshape({tensor.elements(), 1}) : load_matrix(tensor);
  const std::int64_t half = head_dim / 2, rows = stored.size(0), columns = stored.size(1);
  at::Tensor out = fresh_matrix(rows, columns);
  const float* from = stored.const_data_ptr<float>();
  float* to = out.data_ptr<float>();
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t in_head = row % head_dim, p = in_head / half, j = in_head % half;
    std::copy_n(from + (row - in_head + 2 * j + p) * columns, columns, to + row * columns);
  }
  return is_bias ? out.reshape({rows}) : out;
}

void gather_rows(const TensorInfo& tensor, const std::int64_t* ids, std::int64_t count, float* out) {
  require_numbers(tensor);
  const std::int64_t columns = tensor.columns();
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < count; ++i) read_rows(tensor, ids[i], 1, out + i * columns);
  if (tensor.mapped) drop_mapped(tensor.data, tensor.bytes);
}

}  // namespace stamp
