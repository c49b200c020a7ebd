// What `plan` and `run` know of the machine: its speed, measured once by the worker and kept, and its free memory.
#pragma once
#include "sweep/estimate.h"

namespace stamp {

// Measures when nothing is kept for this processor and number of threads, which takes seconds and is said on stderr.
// Where that fails (no worker, no cache) the number of cores has to do.
Machine this_machine();

}  // namespace stamp
