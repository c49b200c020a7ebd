#include "models/pipeline/tensor_bytes.h"

#include <ATen/ops/empty.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "base/json.h"

namespace stamp {
namespace {

constexpr std::size_t length_bytes = sizeof(std::uint64_t);  // of the header's length, which comes first

}  // namespace

std::string bytes_of_tensors(const NamedTensors& tensors) {
  Json header = Json::array();
  std::string values;
  for (const auto& [name, tensor] : tensors) {
    const bool whole = tensor.scalar_type() == at::kLong;
    if (!whole && tensor.scalar_type() != at::kFloat) throw std::logic_error(name + " is neither float32 nor int64");
    header.push_back({{"name", name}, {"integer", whole}, {"shape", tensor.sizes().vec()}});
    const at::Tensor flat = tensor.contiguous();
    values.append(static_cast<const char*>(flat.const_data_ptr()), flat.nbytes());
  }
  const std::string text = header.dump();
  const std::uint64_t length = text.size();
  std::string out(length_bytes, '\0');
  std::memcpy(out.data(), &length, length_bytes);
  return out + text + values;
}

std::optional<NamedTensors> tensors_from_bytes(std::string_view bytes) {
  std::uint64_t length = 0;
  if (bytes.size() < length_bytes) return std::nullopt;
  std::memcpy(&length, bytes.data(), length_bytes);
  if (length > bytes.size() - length_bytes) return std::nullopt;
  const Json header = Json::parse(bytes.substr(length_bytes, length), nullptr, false);
  if (!header.is_array()) return std::nullopt;
  std::size_t at = length_bytes + length;
  NamedTensors tensors;
  for (const Json& entry : header) {
    const auto shape = entry.at("shape").get<std::vector<std::int64_t>>();
    at::Tensor tensor = at::empty(shape, entry.at("integer").get<bool>() ? at::kLong : at::kFloat);
    if (tensor.nbytes() > bytes.size() - at) return std::nullopt;
    std::memcpy(tensor.mutable_data_ptr(), bytes.data() + at, tensor.nbytes());
    at += tensor.nbytes();
    tensors[entry.at("name").get<std::string>()] = std::move(tensor);
  }
  if (at != bytes.size()) return std::nullopt;
  return tensors;
}

}  // namespace stamp
