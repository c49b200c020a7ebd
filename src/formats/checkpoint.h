// Checkpoints on disk: GGUF files (one or split) and HF/diffusers folders of safetensors (one or sharded).
// Everything is mapped; nothing is read or allocated beyond the headers until a tensor is asked for.
// Specification: models 1.1 to 1.7.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"

namespace stamp {

enum class DType {
  f64,
  f32,
  f16,
  bf16,
  i64,
  i32,
  i16,
  i8,
  u8,
  boolean,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
};
const char* name_of(DType type);  // "F32", "Q4_K", ...

struct TensorInfo {
  std::string name;  // as stored
  DType type = DType::f32;
  std::vector<std::int64_t> shape;  // torch order (row-major, outermost first)
  const std::byte* data = nullptr;  // in the mapping
  std::uint64_t bytes = 0;
  int file = 0;         // index into files()
  bool mapped = false;  // `data` lies in a read-only mapping of that file, whose pages may go and come back
  std::int64_t elements() const;
  std::int64_t columns() const { return shape.empty() ? 1 : shape.back(); }
  std::int64_t rows() const { return columns() == 0 ? 0 : elements() / columns(); }
};

class Checkpoint {
 public:
  virtual ~Checkpoint() = default;
  virtual std::string format() const = 0;        // "GGUF v3", "safetensors"
  virtual std::string architecture() const = 0;  // general.architecture or model_type, "" when unknown
  // GGUF: all metadata by key, the long tokenizer arrays excepted. HF: config.json.
  virtual const Json& config() const = 0;
  virtual const std::vector<TensorInfo>& tensors() const = 0;
  const TensorInfo* find(const std::string& name) const;
  const TensorInfo& at(const std::string& name) const;  // DataError with the nearest name
  virtual std::string path() const = 0;
  virtual std::vector<std::string> files() const = 0;
  std::string digest() const;  // SHA-256 over the digests of all files (tokenizer and config included)

 protected:
  mutable std::vector<std::pair<std::string, std::size_t>> index_;  // sorted, built on first use
};

// Rows [first, first + count) of `tensor` as float32, row-major. Bit-exact with ggml for quantized blocks.
void read_rows(const TensorInfo& tensor, std::int64_t first, std::int64_t count, float* out);

// `path`: a .gguf file, a .safetensors file, or a folder with config.json. DataError says what is wrong
// with a missing, truncated or damaged file; no allocation exceeds the file's size.
std::unique_ptr<Checkpoint> open_checkpoint(const std::string& path);

// One entry of a GGUF tokenizer array or the parsed tokenizer.json; see tokenizer/tokenizer.h.
struct TokenizerSource {
  Json tokenizer_json;  // HF: parsed tokenizer.json, else null
  std::string model;    // GGUF: "gpt2", "llama"
  std::string pre;      // GGUF: "smollm", "llama-bpe", "qwen2", ...
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<std::int32_t> types;
  std::vector<std::string> merges;
  std::int64_t bos = -1, eos = -1, unknown = -1, padding = -1;
  bool add_bos = false;
  bool add_eos = false;
  bool add_space_prefix = true;  // GGUF "llama": texts get a space in front, as SentencePiece's dummy prefix
  bool present = false;
};
TokenizerSource tokenizer_source(const Checkpoint& checkpoint);

}  // namespace stamp
