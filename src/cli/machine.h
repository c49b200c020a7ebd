// What `plan` and `run` know of the machine: its speed, measured once by the worker and kept, and its free memory.
#pragma once
#include "sweep/estimate.h"

namespace stamp {

enum class Measure { if_unknown, never };
// Measures when nothing is kept for this processor and number of threads, which takes seconds and is said on stderr.
// Where that may not be or fails (no worker, no cache) the number of cores has to do.
Machine this_machine(Measure measure);

}  // namespace stamp
