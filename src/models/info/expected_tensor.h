// What a configuration says of a checkpoint's tensors.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace stamp {

struct ExpectedTensor {
  std::string name;
  std::vector<std::int64_t> shape;
};
std::int64_t parameters_of(const std::vector<ExpectedTensor>& tensors);  // elements of all of them

}  // namespace stamp
