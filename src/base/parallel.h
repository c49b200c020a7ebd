// Threads of the numeric kernels (OpenMP; the same pool as LibTorch's).
#pragma once
#include <string>

namespace stamp {
int threads();            // threads a parallel region will use
void set_threads(int n);  // n >= 1
void tune_allocator();    // raises glibc's mmap and trim thresholds: fresh 32 MB buffers cost page faults otherwise

constexpr int most_threads = 4096;
// The number to use where nobody gave one on a command line: $STAMP_THREADS, else $OMP_NUM_THREADS, else the cores that
// this process may use. Empty variables count as unset; of OpenMP's list for nested regions the first number holds.
// ConfigError when the variable that decides is no integer from 1 to most_threads.
struct ThreadChoice {
  int number = 1;
  std::string variable;  // that decided; "" when the cores did
};
ThreadChoice chosen_threads();
inline int default_threads() {
  return chosen_threads().number;
}
}  // namespace stamp
