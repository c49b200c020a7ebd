// Element types of checkpoints: names, sizes, and how the two containers spell them. Specification:
// models 1.1, 1.4, 1.5.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/checkpoint.h"

namespace stamp {

struct BlockShape {
  std::int64_t elements = 1;  // consecutive elements of a row stored together
  std::int64_t bytes = 1;
};
BlockShape block_of(DType type);
// Values are numbers with a fraction, so that read_rows makes sense of them.
bool is_floating(DType type);
// "" where they are, else "holds I32 values, where numbers with a fraction are needed".
std::string fault_of_values(const TensorInfo& tensor);

std::optional<DType> dtype_of_ggml(std::uint32_t id);
std::string ggml_type_name(std::uint32_t id);  // also of the types that cannot be read; "type 77" when unheard of
std::optional<DType> dtype_of_safetensors(std::string_view name);

// Elements of a shape and their bytes; nothing when a dimension is negative, the product leaves 63 bits, or rows are
// not whole blocks.
std::optional<std::int64_t> checked_elements(const std::vector<std::int64_t>& shape);
std::optional<std::uint64_t> checked_bytes(DType type, const std::vector<std::int64_t>& shape);

std::string shape_text(const std::vector<std::int64_t>& shape);  // "[576, 1536]"

}  // namespace stamp
