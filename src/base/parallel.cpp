#include "base/parallel.h"

#include <malloc.h>
#include <omp.h>

namespace stamp {

int threads() {
  return omp_get_max_threads();
}

void set_threads(int n) {
  omp_set_num_threads(n < 1 ? 1 : n);
}

void tune_allocator() {
  // The limits of glibc (DEFAULT_MMAP_THRESHOLD_MAX and half of it would still map a 32 MB buffer anew each time).
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

}  // namespace stamp
