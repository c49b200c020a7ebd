// Named tensors as one string of bytes and back: a JSON header of names, types and shapes, then the values.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace stamp {

using NamedTensors = std::map<std::string, at::Tensor>;     // float32 or int64, on the CPU
std::string bytes_of_tensors(const NamedTensors& tensors);  // std::logic_error for another type
// Nothing where the bytes were not written by bytes_of_tensors(), or not all of them are there.
std::optional<NamedTensors> tensors_from_bytes(std::string_view bytes);

}  // namespace stamp
