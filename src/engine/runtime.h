// The process as the numeric libraries see it: threads, precision, versions, memory.
#pragma once
#include <cstdint>
#include <string>

#include "base/json.h"

namespace stamp {

// Threads of LibTorch and of our kernels, full float32 products, allocator thresholds. Once, at start.
void configure_runtime(int threads);

Json library_provenance();      // {libtorch, mkl, onednn, openmp, cpu_capability}
std::string arithmetic_name();  // what decides rounding beside the thread count: LibTorch version and CPU capability

std::uint64_t resident_memory_bytes();  // now; 0 when unknown
std::uint64_t peak_memory_bytes();      // largest resident size since start or the last reset; 0 when unknown
void reset_peak_memory();               // where the kernel allows it

}  // namespace stamp
