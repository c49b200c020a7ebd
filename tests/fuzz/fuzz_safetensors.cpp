// Any bytes as a safetensors file: readable or a DataError; nothing else.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const stamp::SafetensorsFile file =
        stamp::parse_safetensors(reinterpret_cast<const std::byte*>(data), size, "fuzz.safetensors");
    for (const stamp::TensorInfo& tensor : file.tensors) {
      if (tensor.elements() == 0) continue;
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
