#include "models/text/t5_encoder.h"

#include <algorithm>
#include <map>
#include <stdexcept>

#include "base/error.h"
#include "models/decoder/decoder_loader.h"
#include "models/kernels/elementwise.h"
#include "models/kernels/encoder.h"
#include "models/linear.h"
#include "models/tensors.h"

namespace stamp {
namespace {

MatrixView rows_from(at::Tensor& matrix, std::int64_t first, std::int64_t count) {
  const MatrixView all = view(matrix);
  return {all.row(first), count, all.cols, all.stride};
}

at::Tensor normed(const at::Tensor& x, const TensorInfo& weight, double eps) {
  at::Tensor out = fresh_matrix(x.size(0), x.size(1));
  rms_norm(const_view(x), load_vector(weight).const_data_ptr<float>(), static_cast<float>(eps), view(out));
  return out;
}

at::Tensor product(const at::Tensor& x, const TensorInfo& weight) {
  return linear(x, load_matrix(weight), {});
}

// Biases by head and distance, for sequences of each length that comes.
class DistanceBiases {
 public:
  DistanceBiases(const T5Config& config, const TensorInfo& table)
      : config_(config), table_(static_cast<std::size_t>(table.elements())) {
    read_rows(table, 0, table.rows(), table_.data());
  }
  const float* of(std::int64_t tokens) {
    std::vector<float>& made = made_[tokens];
    if (!made.empty()) return made.data();
    made.reserve(static_cast<std::size_t>(config_.heads * (2 * tokens - 1)));
    for (std::int64_t h = 0; h < config_.heads; ++h)
      for (std::int64_t d = 1 - tokens; d < tokens; ++d)
        made.push_back(
            table_[static_cast<std::size_t>(t5_bucket(d, config_.buckets, config_.max_distance) * config_.heads + h)]);
    return made.data();
  }

 private:
  const T5Config& config_;
  std::vector<float> table_;  // buckets x heads
  std::map<std::int64_t, std::vector<float>> made_;
};

}  // namespace

at::Tensor embedded_rows(const TensorInfo& table, const std::vector<TokenIds>& texts) {
  std::vector<std::int64_t> ids;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].empty()) throw std::logic_error("a text to encode has at least one token");
    for (const std::int32_t id : texts[i]) {
      if (id < 0 || id >= table.rows())
        throw DataError("token id " + std::to_string(id) + " of text " + std::to_string(i) +
                        " is outside the text encoder's vocabulary of " + std::to_string(table.rows()) +
                        ": do the tokenizer and the encoder belong together?");
      ids.push_back(id);
    }
  }
  at::Tensor rows = fresh_matrix(static_cast<std::int64_t>(ids.size()), table.columns());
  gather_rows(table, ids.data(), static_cast<std::int64_t>(ids.size()), rows.data_ptr<float>());
  return rows;
}

at::Tensor padded_rows(const at::Tensor& rows, std::int64_t length) {
  const std::int64_t count = rows.numel();
  if (rows.size(0) > length) throw std::logic_error("more rows than the padded text has");
  at::Tensor out = fresh_matrix(length, rows.size(1));
  std::copy_n(rows.const_data_ptr<float>(), count, out.data_ptr<float>());
  std::fill(out.data_ptr<float>() + count, out.data_ptr<float>() + out.numel(), 0.0F);
  return out;
}

T5Encoder::T5Encoder(std::shared_ptr<const Checkpoint> checkpoint)
    : checkpoint_(std::move(checkpoint)),
      config_(read_t5_config(*checkpoint_)),
      tensors_(find_t5_tensors(*checkpoint_, config_)) {}

std::vector<at::Tensor> T5Encoder::encode(const std::vector<TokenIds>& prompts, const Observer& observer) const {
  if (prompts.empty()) return {};
  at::Tensor x = embedded_rows(*tensors_.embedding, prompts);
  DistanceBiases biases(config_, *tensors_.bias);
  EncoderAttention shape;
  shape.heads = config_.heads;
  shape.head_dim = config_.head_dim;
  for (std::size_t block = 0; block < tensors_.blocks.size(); ++block) {
    const T5BlockTensors& t = tensors_.blocks[block];
    {
      const at::Tensor n = normed(x, *t.attention_norm, config_.eps);
      at::Tensor q = product(n, *t.q), k = product(n, *t.k), v = product(n, *t.v);
      std::int64_t first = 0;
      for (const TokenIds& ids : prompts) {
        const auto count = static_cast<std::int64_t>(ids.size());
        shape.by_distance = biases.of(count);
        const MatrixView own = rows_from(q, first, count);
        encoder_attention(own, rows_from(k, first, count), rows_from(v, first, count), shape, own);
        first += count;
      }
      add(view(x), const_view(product(q, *t.o)));
    }
    at::Tensor n = normed(x, *t.feed_forward_norm, config_.eps);
    at::Tensor gate = product(n, *t.gate);
    gelu_tanh_multiply(view(gate), const_view(product(n, *t.up)));
    add(view(x), const_view(product(gate, *t.down)));
    if (observer) observer(block, x);
  }
  const at::Tensor rows = normed(x, *tensors_.final_norm, config_.eps);
  std::vector<at::Tensor> out;
  std::int64_t first = 0;
  for (const TokenIds& ids : prompts) {
    const auto count = static_cast<std::int64_t>(ids.size());
    out.push_back(contiguous_copy(rows.narrow(0, first, count)));
    first += count;
  }
  return out;
}

}  // namespace stamp
