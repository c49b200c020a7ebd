// How much memory this process may still take, and pages of mapped files that it need not hold on to.
#pragma once
#include <cstddef>
#include <cstdint>

namespace stamp {

// What the kernel could give without swapping, and no more than the control group allows; 0 when unknown.
std::uint64_t available_memory_bytes();
// Whole pages inside a read-only mapping leave this process's memory; they are read again when touched.
void drop_mapped(const void* from, std::uint64_t bytes);

}  // namespace stamp
