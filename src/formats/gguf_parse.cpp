#include <algorithm>
#include <limits>
#include <optional>
#include <unordered_set>

#include "formats/byte_reader.h"
#include "formats/dtype.h"
#include "formats/gguf.h"
#include "formats/utf8.h"

namespace stamp {
namespace {

enum ValueType : std::uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};

constexpr std::uint64_t kShortArray = 1024;  // longer ones stay in the mapping
constexpr int kArrayDepth = 8;
constexpr std::uint32_t kMostDimensions = 4;              // ggml's own limit
constexpr std::uint64_t kLongestName = 64;                // ggml's GGML_MAX_NAME
constexpr std::uint64_t kLongestKey = 65535;              // gguf.md
constexpr std::uint64_t kSmallestPair = 8 + 4 + 1;        // empty key, type, one byte
constexpr std::uint64_t kSmallestTensor = 8 + 4 + 4 + 8;  // empty name, no dimensions, type, offset

// Bytes of a number or bool, 0 for strings, arrays and unknown types.
std::uint64_t scalar_bytes(std::uint32_t type) {
  switch (type) {
    case kU8:
    case kI8:
    case kBool: return 1;
    case kU16:
    case kI16: return 2;
    case kU32:
    case kI32:
    case kF32: return 4;
    case kU64:
    case kI64:
    case kF64: return 8;
    default: return 0;
  }
}

Json read_scalar(ByteReader& in, std::uint32_t type, std::string_view what) {
  switch (type) {
    case kU8: return in.number<std::uint8_t>(what);
    case kI8: return in.number<std::int8_t>(what);
    case kU16: return in.number<std::uint16_t>(what);
    case kI16: return in.number<std::int16_t>(what);
    case kU32: return in.number<std::uint32_t>(what);
    case kI32: return in.number<std::int32_t>(what);
    case kF32: return in.number<float>(what);
    case kU64: return in.number<std::uint64_t>(what);
    case kI64: return in.number<std::int64_t>(what);
    case kF64: return in.number<double>(what);
    case kString: return repaired_utf8(in.text(what));
    case kBool: {
      const auto value = in.number<std::uint8_t>(what);
      if (value > 1)
        in.fail(std::string(what) + " is a bool with value " + std::to_string(value) + " (0 or 1 allowed)");
      return value == 1;
    }
    default: break;
  }
  in.fail(std::string(what) + " has value type " + std::to_string(type) + " (0 to 12 allowed)");
}

// Moves over `count` elements, checking that they lie inside the file.
void skip_elements(ByteReader& in, std::uint32_t type, std::uint64_t count, int depth, std::string_view what) {
  if (const std::uint64_t size = scalar_bytes(type); size > 0) {
    if (count > in.left() / size)
      in.fail(std::string(what) + " claims " + std::to_string(count) + " elements, but only " +
              std::to_string(in.left()) + " bytes of the file are left");
    in.skip(count * size, what);
    return;
  }
  if (type != kString && type != kArray)
    in.fail(std::string(what) + " has element type " + std::to_string(type) + " (0 to 12 allowed)");
  if (depth == kArrayDepth)
    in.fail(std::string(what) + " nests arrays deeper than " + std::to_string(kArrayDepth) + " levels");
  const std::uint64_t smallest = type == kString ? 8 : 12;
  if (count > in.left() / smallest)
    in.fail(std::string(what) + " claims " + std::to_string(count) + " elements, but only " +
            std::to_string(in.left()) + " bytes of the file are left");
  for (std::uint64_t i = 0; i < count; ++i) {
    if (type == kString) {
      in.text(what);
    } else {
      const auto inner = in.number<std::uint32_t>(what);
      const auto inner_count = in.number<std::uint64_t>(what);
      skip_elements(in, inner, inner_count, depth + 1, what);
    }
  }
}

void read_array(ByteReader& in, const std::string& key, const std::string& what, GgufFile& file) {
  GgufArray array;
  array.type = in.number<std::uint32_t>(what);
  array.count = in.number<std::uint64_t>(what);
  array.data = in.here();
  const std::uint64_t begin = in.position();
  const bool readable = array.type != kArray && array.count <= kShortArray && key.rfind("tokenizer.ggml.", 0) != 0;
  if (!readable) {
    skip_elements(in, array.type, array.count, 0, what);
  } else {
    Json values = Json::array();
    for (std::uint64_t i = 0; i < array.count; ++i) values.push_back(read_scalar(in, array.type, what));
    file.metadata.emplace(key, std::move(values));
  }
  array.bytes = in.position() - begin;
  file.arrays.emplace(key, array);
}

void read_metadata(ByteReader& in, std::uint64_t count, GgufFile& file) {
  if (count > in.left() / kSmallestPair)
    in.fail("the header claims " + std::to_string(count) + " metadata entries, more than the file can hold");
  std::unordered_set<std::string> seen;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string nth = "metadata entry " + std::to_string(i + 1) + " of " + std::to_string(count);
    const std::string_view raw = in.text(nth);
    if (raw.empty() || raw.size() > kLongestKey || !is_utf8(raw))
      in.fail(nth + " has an empty, overlong or ill-formed key");
    const std::string key(raw);
    if (!seen.insert(key).second) in.fail("the metadata key \"" + key + "\" appears twice");
    const std::string what = "the value of \"" + key + "\"";
    const auto type = in.number<std::uint32_t>(what);
    if (type == kArray) {
      read_array(in, key, what, file);
    } else {
      file.metadata.emplace(key, read_scalar(in, type, what));
    }
  }
}

std::uint64_t alignment_of(const ByteReader& in, const Json& metadata) {
  const auto found = metadata.find("general.alignment");
  if (found == metadata.end()) return 32;
  const bool number = found->is_number_unsigned() || (found->is_number_integer() && found->get<std::int64_t>() > 0);
  const std::uint64_t value = number ? found->get<std::uint64_t>() : 0;
  if (value == 0 || value > (1U << 20) || (value & (value - 1)) != 0)
    in.fail("general.alignment is " + found->dump().substr(0, 40) + " (a power of two up to 1048576 allowed)");
  return value;
}

struct Placed {
  std::size_t tensor;
  std::uint64_t begin;
};

// One entry of the tensor table; `offset` is still relative to the data section.
TensorInfo read_tensor(ByteReader& in, const std::string& nth, std::uint64_t& offset) {
  TensorInfo info;
  const std::string_view raw = in.text(nth);
  if (raw.empty() || raw.size() > kLongestName || !is_utf8(raw))
    in.fail(nth + " has a name of " + std::to_string(raw.size()) + " bytes (UTF-8, 1 to " +
            std::to_string(kLongestName) + " bytes allowed)");
  info.name = std::string(raw);
  const std::string what = "tensor \"" + info.name + "\"";
  const auto dimensions = in.number<std::uint32_t>(what);
  if (dimensions > kMostDimensions)
    in.fail(what + " has " + std::to_string(dimensions) + " dimensions (at most " + std::to_string(kMostDimensions) +
            " allowed)");
  for (std::uint32_t d = 0; d < dimensions; ++d) {
    const auto n = in.number<std::uint64_t>(what);
    if (n == 0 || n > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      in.fail(what + " has a dimension of " + std::to_string(n));
    info.shape.push_back(static_cast<std::int64_t>(n));
  }
  std::reverse(info.shape.begin(), info.shape.end());  // the file lists the fastest dimension first
  const auto id = in.number<std::uint32_t>(what);
  const auto type = dtype_of_ggml(id);
  if (!type)
    in.fail(what + " is stored as " + ggml_type_name(id) +
            ", which is not supported (F32 F16 BF16 F64 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K are)");
  info.type = *type;
  offset = in.number<std::uint64_t>(what);
  if (info.columns() % block_of(info.type).elements != 0)
    in.fail(what + " has rows of " + std::to_string(info.columns()) + " elements, not a multiple of the " +
            std::to_string(block_of(info.type).elements) + " in a block of " + name_of(info.type));
  const auto bytes = checked_bytes(info.type, info.shape);
  if (!bytes) in.fail(what + " has the impossible shape " + shape_text(info.shape));
  info.bytes = *bytes;
  return info;
}

void read_tensors(ByteReader& in, std::uint64_t count, std::uint64_t alignment, const std::byte* data,
                  std::uint64_t size, GgufFile& file) {
  if (count > in.left() / kSmallestTensor)
    in.fail("the header claims " + std::to_string(count) + " tensors, more than the file can hold");
  std::unordered_set<std::string> seen;
  std::vector<Placed> placed;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::uint64_t offset = 0;
    file.tensors.push_back(read_tensor(in, "tensor " + std::to_string(i + 1) + " of " + std::to_string(count), offset));
    const TensorInfo& info = file.tensors.back();
    if (!seen.insert(info.name).second) in.fail("the tensor \"" + info.name + "\" appears twice");
    if (offset % alignment != 0)
      in.fail("tensor \"" + info.name + "\" starts at offset " + std::to_string(offset) +
              ", not a multiple of the alignment " + std::to_string(alignment));
    placed.push_back({file.tensors.size() - 1, offset});
  }
  if (count == 0) return;
  const std::uint64_t section = (in.position() + alignment - 1) / alignment * alignment;
  const std::uint64_t room = section < size ? size - section : 0;
  std::sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) { return a.begin < b.begin; });
  std::uint64_t free_from = 0;
  for (std::size_t i = 0; i < placed.size(); ++i) {
    TensorInfo& info = file.tensors[placed[i].tensor];
    if (placed[i].begin > room || info.bytes > room - placed[i].begin)
      in.fail("tensor \"" + info.name + "\" (" + name_of(info.type) + " " + shape_text(info.shape) + ", " +
              std::to_string(info.bytes) + " bytes at offset " + std::to_string(placed[i].begin) +
              ") reaches beyond the file: its data section has " + std::to_string(room) +
              " bytes. The file is truncated or damaged");
    if (placed[i].begin < free_from)
      in.fail("tensors \"" + file.tensors[placed[i - 1].tensor].name + "\" and \"" + info.name + "\" overlap");
    free_from = placed[i].begin + info.bytes;
    info.data = data + section + placed[i].begin;
  }
}

}  // namespace

GgufFile parse_gguf(const std::byte* data, std::uint64_t size, const std::string& where) {
  ByteReader in(data, size, where);
  GgufFile file;
  if (in.number<std::uint32_t>("the magic number") != 0x46554747U)
    in.fail("is not a GGUF file (it does not start with \"GGUF\")");
  file.version = in.number<std::uint32_t>("the version");
  if (file.version == 0x02000000U || file.version == 0x03000000U)
    in.fail("is a big-endian GGUF file, which is not supported");
  if (file.version != 2 && file.version != 3)
    in.fail("is GGUF version " + std::to_string(file.version) + " (2 and 3 are supported)");
  const auto tensors = in.number<std::uint64_t>("the tensor count");
  const auto pairs = in.number<std::uint64_t>("the metadata count");
  read_metadata(in, pairs, file);
  read_tensors(in, tensors, alignment_of(in, file.metadata), data, size, file);
  return file;
}

std::vector<std::string> strings_of(const GgufArray& array, const std::string& where) {
  if (array.type != kString) throw DataError(where + ": is not an array of strings");
  ByteReader in(array.data, array.bytes, where);
  std::vector<std::string> values;
  values.reserve(array.count);  // each takes at least 8 bytes of the file
  for (std::uint64_t i = 0; i < array.count; ++i) values.emplace_back(in.text("a string"));
  return values;
}

std::vector<double> numbers_of(const GgufArray& array, const std::string& where) {
  if (scalar_bytes(array.type) == 0) throw DataError(where + ": is not an array of numbers");
  ByteReader in(array.data, array.bytes, where);
  std::vector<double> values;
  values.reserve(array.count);
  for (std::uint64_t i = 0; i < array.count; ++i) {
    const Json value = read_scalar(in, array.type, "a number");
    values.push_back(value.is_boolean() ? (value.get<bool>() ? 1.0 : 0.0) : value.get<double>());
  }
  return values;
}

}  // namespace stamp
