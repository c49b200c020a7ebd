// GGUF versions 2 and 3. Specification: models 1.4; source: ggml-org/ggml, docs/gguf.md.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "formats/checkpoint.h"

namespace stamp {

// A metadata array left where it lies. Its elements are known to lie inside the file.
struct GgufArray {
  std::uint32_t type = 0;  // element type, as in the file: 8 string, 6 f32, 5 i32, ...
  std::uint64_t count = 0;
  const std::byte* data = nullptr;
  std::uint64_t bytes = 0;
};
std::vector<std::string> strings_of(const GgufArray& array, const std::string& where);
std::vector<double> numbers_of(const GgufArray& array, const std::string& where);

struct GgufFile {
  std::uint32_t version = 0;
  Json metadata = Json::object();           // scalars, and arrays of at most 1024 elements outside the tokenizer
  std::map<std::string, GgufArray> arrays;  // every array, by key
  std::vector<TensorInfo> tensors;          // data points into the mapping
};
// Everything in the file is checked here: counts, lengths, types, offsets, alignment and overlaps. DataError.
GgufFile parse_gguf(const std::byte* data, std::uint64_t size, const std::string& where);

// The file and, when it belongs to a split set (name-00001-of-00003.gguf), all others of the set.
std::unique_ptr<Checkpoint> open_gguf(const std::string& path);

}  // namespace stamp
