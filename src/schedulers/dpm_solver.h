// DPM-Solver++ with one or two steps of history, for noise prediction under a variance-preserving schedule and for flow
// matching. C. Lu et al., 2022 (arXiv 2211.01095). Specification models 14.2.
#pragma once
#include "schedulers/scheduler.h"

namespace stamp {
SchedulerPlugin dpm_solver_plugin();
}
