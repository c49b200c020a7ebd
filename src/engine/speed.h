// A few seconds of the work that trials consist of, timed: what the planner's cost model multiplies (sweep/cost.h).
#pragma once
#include "sweep/machine_speed.h"

namespace stamp {

// With the threads the kernels are set to. Every piece is timed several times, the fastest counts: a neighbour on the
// machine slows a trial down as well, but a plan should not depend on who was busy when it was asked for.
MachineSpeed measure_speed();

}  // namespace stamp
