#include "formats/dtype.h"

#include <array>

namespace stamp {
namespace {

struct TypeRow {
  DType type;
  const char* name;  // GGUF's spelling where GGUF has the type
  BlockShape block;
  bool floating;
  int ggml;  // -1: GGUF does not have it
};

constexpr std::array<TypeRow, 20> kTypes = {{
    {DType::f64, "F64", {1, 8}, true, 28},       {DType::f32, "F32", {1, 4}, true, 0},
    {DType::f16, "F16", {1, 2}, true, 1},        {DType::bf16, "BF16", {1, 2}, true, 30},
    {DType::i64, "I64", {1, 8}, false, 27},      {DType::i32, "I32", {1, 4}, false, 26},
    {DType::i16, "I16", {1, 2}, false, 25},      {DType::i8, "I8", {1, 1}, false, 24},
    {DType::u8, "U8", {1, 1}, false, -1},        {DType::boolean, "BOOL", {1, 1}, false, -1},
    {DType::q4_0, "Q4_0", {32, 18}, true, 2},    {DType::q4_1, "Q4_1", {32, 20}, true, 3},
    {DType::q5_0, "Q5_0", {32, 22}, true, 6},    {DType::q5_1, "Q5_1", {32, 24}, true, 7},
    {DType::q8_0, "Q8_0", {32, 34}, true, 8},    {DType::q2_k, "Q2_K", {256, 84}, true, 10},
    {DType::q3_k, "Q3_K", {256, 110}, true, 11}, {DType::q4_k, "Q4_K", {256, 144}, true, 12},
    {DType::q5_k, "Q5_K", {256, 176}, true, 13}, {DType::q6_k, "Q6_K", {256, 210}, true, 14},
}};

const TypeRow& row_of(DType type) {
  for (const TypeRow& row : kTypes)
    if (row.type == type) return row;
  return kTypes[0];
}

struct GgmlName {
  std::uint32_t id;
  const char* name;
};
// Types GGUF files may hold and this program does not read; they are refused by these names.
constexpr std::array<GgmlName, 23> kOtherGgml = {{
    {4, "Q4_2 (removed from ggml)"},
    {5, "Q4_3 (removed from ggml)"},
    {9, "Q8_1"},
    {15, "Q8_K"},
    {16, "IQ2_XXS"},
    {17, "IQ2_XS"},
    {18, "IQ3_XXS"},
    {19, "IQ1_S"},
    {20, "IQ4_NL"},
    {21, "IQ3_S"},
    {22, "IQ2_S"},
    {23, "IQ4_XS"},
    {29, "IQ1_M"},
    {31, "Q4_0_4_4"},
    {32, "Q4_0_4_8"},
    {33, "Q4_0_8_8"},
    {34, "TQ1_0"},
    {35, "TQ2_0"},
    {36, "IQ4_NL_4_4"},
    {37, "IQ4_NL_4_8"},
    {38, "IQ4_NL_8_8"},
    {39, "MXFP4"},
    {40, "NVFP4"},
}};

}  // namespace

const char* name_of(DType type) {
  return row_of(type).name;
}
BlockShape block_of(DType type) {
  return row_of(type).block;
}
bool is_floating(DType type) {
  return row_of(type).floating;
}

std::string fault_of_values(const TensorInfo& tensor) {
  if (is_floating(tensor.type)) return "";
  return std::string("holds ").append(name_of(tensor.type)).append(" values, where numbers with a fraction are needed");
}

std::optional<DType> dtype_of_ggml(std::uint32_t id) {
  for (const TypeRow& row : kTypes)
    if (row.ggml >= 0 && static_cast<std::uint32_t>(row.ggml) == id) return row.type;
  return std::nullopt;
}

std::string ggml_type_name(std::uint32_t id) {
  if (const auto type = dtype_of_ggml(id)) return name_of(*type);
  for (const GgmlName& other : kOtherGgml)
    if (other.id == id) return other.name;
  return "type " + std::to_string(id);
}

std::optional<DType> dtype_of_safetensors(std::string_view name) {
  for (const TypeRow& row : kTypes)
    if (row.block.elements == 1 && name == row.name) return row.type;
  return std::nullopt;
}

std::optional<std::int64_t> checked_elements(const std::vector<std::int64_t>& shape) {
  std::int64_t product = 1;
  for (const std::int64_t n : shape)
    if (n < 0 || __builtin_mul_overflow(product, n, &product)) return std::nullopt;
  return product;
}

std::optional<std::uint64_t> checked_bytes(DType type, const std::vector<std::int64_t>& shape) {
  const auto elements = checked_elements(shape);
  if (!elements) return std::nullopt;
  const BlockShape block = block_of(type);
  const std::int64_t columns = shape.empty() ? 1 : shape.back();
  if (columns % block.elements != 0) return std::nullopt;
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(*elements / block.elements, block.bytes, &bytes)) return std::nullopt;
  return static_cast<std::uint64_t>(bytes);
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace stamp
