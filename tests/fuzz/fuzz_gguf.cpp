// Any bytes as a GGUF file: readable, with every row and array readable too, or a DataError; nothing else.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "formats/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const stamp::GgufFile file = stamp::parse_gguf(reinterpret_cast<const std::byte*>(data), size, "fuzz.gguf");
    file.metadata.dump();
    for (const auto& [key, array] : file.arrays) {
      try {
        if (array.type == 8)
          stamp::strings_of(array, key);
        else
          stamp::numbers_of(array, key);
      } catch (const stamp::DataError&) {  // arrays of arrays
      }
    }
    for (const stamp::TensorInfo& tensor : file.tensors) {
      std::vector<float> row(static_cast<std::size_t>(tensor.columns()));
      try {
        stamp::read_rows(tensor, tensor.rows() - 1, 1, row.data());
      } catch (const stamp::DataError&) {  // integers
      }
    }
  } catch (const stamp::DataError&) {
  }
  return 0;
}
