// How much memory this process may still take, and pages of mapped files that it need not hold on to.
#pragma once
#include <cstddef>
#include <cstdint>

namespace stamp {

// What the kernel could give without swapping, and no more than the control group allows; 0 when unknown.
std::uint64_t available_memory_bytes();
// What was freed goes back to the kernel, holes between live allocations too. The heap otherwise keeps it for the next
// allocation, which is right within a pass and wrong after a block of a large model.
void give_back_free_memory();
// Whole pages inside a read-only mapping leave this process's memory; they are read again when touched.
void drop_mapped(const void* from, std::uint64_t bytes);

}  // namespace stamp
