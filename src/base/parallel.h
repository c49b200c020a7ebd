// Threads of the numeric kernels (OpenMP; the same pool as LibTorch's).
#pragma once

namespace stamp {
int threads();            // threads a parallel region will use
void set_threads(int n);  // n >= 1
void tune_allocator();    // raises glibc's mmap and trim thresholds: fresh 32 MB buffers cost page faults otherwise
}  // namespace stamp
