#include "models/info/expected_tensor.h"

namespace stamp {

std::int64_t parameters_of(const std::vector<ExpectedTensor>& tensors) {
  std::int64_t sum = 0;
  for (const ExpectedTensor& tensor : tensors) {
    std::int64_t count = 1;
    for (const std::int64_t n : tensor.shape) count *= n;
    sum += count;
  }
  return sum;
}

}  // namespace stamp
